/** Follows the metadata of Kafka in ZooKeeper by watches alone, without polling. */
import type { ZkKafkaDocument } from '@thermomesh/contracts';
import { sleep } from '@thermomesh/runtime';
import { hasCode, type NodeChildren, type NodeData, type Watch, type ZooKeeper } from '@thermomesh/zookeeper';
import { kafkaPath } from '../mesh/files/znodes.ts';
import { changesBetween, describeKafka, kafkaPaths, partitionsOf } from './kafka.ts';

type AnyWatch = Watch<NodeData | undefined> | Watch<NodeChildren | undefined>;

/** Changes within this time are reported together: the death of a broker moves many partitions. */
const gatherMs = 50;

/** The metadata of Kafka, kept up to date. */
export class KafkaWatch implements AsyncDisposable {
  readonly #zk: ZooKeeper;
  readonly #root: string;
  readonly #data = new Map<string, Watch<NodeData | undefined>>();
  readonly #brokers: Watch<NodeChildren | undefined>;
  readonly #topics: Watch<NodeChildren | undefined>;
  readonly #ending = new Set<Promise<void>>();
  #changed = Promise.withResolvers<undefined>();
  #reported: ZkKafkaDocument | undefined;
  #closed = false;

  /** @param root the node below which this Kafka keeps everything; empty if that is the root */
  constructor(zk: ZooKeeper, root: string) {
    this.#zk = zk;
    this.#root = root;
    this.#brokers = zk.watchChildren(root + kafkaPaths.brokers);
    this.#topics = zk.watchChildren(root + kafkaPaths.topics);
    for (const watch of [this.#brokers, this.#topics]) watch.subscribe(() => this.#note());
    this.#follow();
  }

  /**
   * Yields the metadata now, and again after each change.
   * @throws the error that ended a watch, for example that a node may not be read
   */
  async *documents(signal: AbortSignal): AsyncGenerator<ZkKafkaDocument, void, undefined> {
    const ended = Promise.withResolvers<undefined>();
    const end = () => ended.resolve(undefined);
    signal.addEventListener('abort', end);
    try {
      while (!signal.aborted) {
        this.#changed = Promise.withResolvers();
        await Promise.race([this.#settled(), ended.promise]);
        if (signal.aborted) return;
        const document = this.#document();
        if (this.#reported === undefined || document.changes.length > 0) {
          this.#reported = document;
          yield document;
        }
        await Promise.race([this.#changed.promise, ended.promise]);
        await Promise.race([sleep(gatherMs), ended.promise]);
      }
    } finally {
      signal.removeEventListener('abort', end);
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#closed = true;
    await Promise.all([...this.#watches()].map(async (watch) => watch.close()));
    await Promise.all(this.#ending);
  }

  *#watches(): Generator<AnyWatch> {
    yield this.#brokers;
    yield this.#topics;
    yield* this.#data.values();
  }

  #note(): void {
    if (this.#closed) return;
    this.#follow();
    this.#changed.resolve(undefined);
  }

  /** Watches all nodes that belong to the metadata by now, and no others. */
  #follow(): void {
    const wanted = new Set<string>([
      kafkaPaths.clusterId,
      kafkaPaths.controller,
      kafkaPaths.controllerEpoch,
      ...namesOf(this.#brokers).map(kafkaPaths.broker),
    ]);
    for (const topic of namesOf(this.#topics)) {
      wanted.add(kafkaPaths.topic(topic));
      const known = this.#data.get(kafkaPaths.topic(topic))?.current?.value;
      for (const { partition } of partitionsOf(known)) wanted.add(kafkaPaths.state(topic, partition));
    }
    for (const path of wanted) {
      if (this.#data.has(path)) continue;
      const watch = this.#zk.watchData(this.#root + path);
      this.#data.set(path, watch);
      watch.subscribe(() => this.#note());
    }
    for (const [path, watch] of this.#data) {
      if (wanted.has(path)) continue;
      this.#data.delete(path);
      const ending = watch.close().finally(() => this.#ending.delete(ending));
      this.#ending.add(ending);
    }
  }

  /**
   * Waits until every watched node has been read once, including those that the first answers add.
   */
  async #settled(): Promise<void> {
    for (;;) {
      const watches = [...this.#watches()];
      await Promise.all(watches.map(firstOf));
      if ([...this.#watches()].every(({ current }) => current !== undefined)) return;
    }
  }

  #document(): ZkKafkaDocument {
    const nodes = new Map<string, NodeData>();
    for (const [path, watch] of this.#data) {
      if (watch.failure !== undefined) throw watch.failure;
      const node = watch.current?.value;
      if (node !== undefined) nodes.set(path, node);
    }
    const picture = describeKafka(nodes, { brokers: namesOf(this.#brokers), topics: namesOf(this.#topics) });
    const changes = this.#reported === undefined ? [] : changesBetween(this.#reported, picture);
    return { at: new Date().toISOString(), ...picture, changes };
  }
}

/** A watch that is closed meanwhile is not needed any more. */
async function firstOf(watch: AnyWatch): Promise<void> {
  try {
    await watch.first();
  } catch (error) {
    if (!hasCode(error, 'zookeeper.closed')) throw error;
  }
}

function namesOf(watch: Watch<NodeChildren | undefined>): string[] {
  return watch.current?.value?.names ?? [];
}

/**
 * Finds the root of a mesh's Kafka: a node of its own in a ZooKeeper that others share, else the
 * root.
 */
export async function findKafkaRoot(zk: ZooKeeper, mesh: string): Promise<string> {
  const shared = kafkaPath(mesh);
  return (await zk.exists(shared)) === undefined ? '' : shared;
}
