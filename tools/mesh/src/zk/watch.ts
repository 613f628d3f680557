/** Follows one node: its data and the names of its children. */
import type { ZkEventDocument } from '@thermomesh/contracts';
import type { NodeChildren, NodeData, ZooKeeper } from '@thermomesh/zookeeper';
import { showData, type DataFormat } from './data.ts';
import { worded } from './faults.ts';

export interface WatchOptions {
  format?: DataFormat | undefined;
  /** Ends after so many events, the first state included; left out, never by itself. */
  count?: number | undefined;
  signal: AbortSignal;
  onEvent: (event: ZkEventDocument) => void;
}

/**
 * Tells the state now and then every change, until it is told to end. Watches, not questions: at rest nothing is asked. Changes that
 * follow each other faster than they can be read become one.
 */
export async function watchNode(zk: ZooKeeper, path: string, options: WatchOptions): Promise<void> {
  await using data = zk.watchData(path);
  await using children = zk.watchChildren(path);
  try {
    const teller = new Teller(path, await data.first(), await children.first(), options);
    const { signal } = options;
    const end = Promise.withResolvers<undefined>();
    const finish = () => end.resolve(undefined);
    signal.addEventListener('abort', finish);
    const told = async <T>(states: AsyncIterable<T>, take: (state: T) => void) => {
      for await (const state of states) {
        if (!teller.done) take(state);
        if (teller.done) break;
      }
      // A watch that ends by itself has failed, and its iterator has thrown by now.
      finish();
    };
    if (signal.aborted || teller.done) return;
    const following = [
      told(data, (state) => teller.takeData(state)),
      told(children, (state) => teller.takeChildren(state)),
    ];
    try {
      await Promise.race([end.promise, Promise.all(following)]);
    } finally {
      signal.removeEventListener('abort', finish);
      await Promise.all([data.close(), children.close()]);
      await Promise.allSettled(following);
    }
  } catch (error) {
    throw worded(error, path);
  }
}

/** Makes events of states. */
class Teller {
  readonly #path: string;
  readonly #options: WatchOptions;
  #node: NodeData | undefined;
  #names: string[] | undefined;
  #told = 0;

  constructor(
    path: string,
    node: NodeData | undefined,
    children: NodeChildren | undefined,
    options: WatchOptions,
  ) {
    this.#path = path;
    this.#options = options;
    this.#node = node;
    this.#names = node === undefined ? undefined : (children?.names ?? []);
    this.#tell(node === undefined ? 'absent' : 'present');
  }

  get done(): boolean {
    return this.#told >= (this.#options.count ?? Infinity);
  }

  takeData(node: NodeData | undefined): void {
    const before = this.#node;
    this.#node = node;
    if (node === undefined) {
      this.#names = undefined;
      if (before !== undefined) this.#tell('deleted');
      return;
    }
    this.#names ??= [];
    // Another node under the same name is created, though nobody saw the gap.
    if (before?.stat.czxid !== node.stat.czxid) this.#tell('created');
    else if (before.stat.mzxid !== node.stat.mzxid) this.#tell('changed');
  }

  takeChildren(children: NodeChildren | undefined): void {
    const before = this.#names;
    // Coming and going of the node itself is told by its data.
    if (children === undefined || before === undefined) return;
    this.#names = children.names;
    if (before.join('/') !== children.names.join('/')) this.#tell('children');
  }

  #tell(event: ZkEventDocument['event']): void {
    const node = this.#node;
    const shown = node === undefined ? undefined : showData(node.data, this.#path, this.#options.format);
    this.#told += 1;
    this.#options.onEvent({
      at: new Date().toISOString(),
      event,
      path: this.#path,
      version: node?.stat.version ?? null,
      format: shown?.format ?? null,
      data: shown?.data ?? null,
      children: this.#names ?? null,
    });
  }
}
