/** Follows what Kafka keeps in ZooKeeper by watches alone: at rest nothing is asked. */
import type { ZkKafkaDocument } from '@thermomesh/contracts';
import { hasCode, type NodeChildren, type NodeData, type Watch, type ZooKeeper } from '@thermomesh/zookeeper';
import { kafkaPath } from '../state/znodes.ts';
import { changesBetween, describeKafka, kafkaPaths, partitionsOf } from './kafka.ts';

type AnyWatch = Watch<NodeData | undefined> | Watch<NodeChildren | undefined>;

/** Changes that come together (a broker's death moves many partitions) are told together. */
const gatherMs = 50;

/** The picture, kept up to date. */
export class KafkaWatch implements AsyncDisposable {
  readonly #zk: ZooKeeper;
  readonly #root: string;
  readonly #data = new Map<string, Watch<NodeData | undefined>>();
  readonly #brokers: Watch<NodeChildren | undefined>;
  readonly #topics: Watch<NodeChildren | undefined>;
  readonly #ending = new Set<Promise<void>>();
  #changed = Promise.withResolvers<undefined>();
  #told: ZkKafkaDocument | undefined;
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

  /** The first picture, and then one for each change. @throws what ended a watch: a node that may not be read, say */
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
        if (this.#told === undefined || document.changes.length > 0) {
          this.#told = document;
          yield document;
        }
        await Promise.race([this.#changed.promise, ended.promise]);
        await Promise.race([new Promise((resolve) => setTimeout(resolve, gatherMs)), ended.promise]);
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

  /** Watches what should be watched by now, and nothing else. */
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

  /** Waits until everything that is followed has been read once, however much the first answers add to it. */
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
    const changes = this.#told === undefined ? [] : changesBetween(this.#told, picture);
    return { at: new Date().toISOString(), ...picture, changes };
  }
}

/** A watch that is closed meanwhile is wanted no more. */
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

/** Where the Kafka of a mesh is: below a node of that mesh's own in a ZooKeeper that others use too, else at the root. */
export async function findKafkaRoot(zk: ZooKeeper, mesh: string): Promise<string> {
  const shared = kafkaPath(mesh);
  return (await zk.exists(shared)) === undefined ? '' : shared;
}
