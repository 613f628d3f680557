/** Follows one node: its data and the names of its children. */
import type { ZkEventDocument } from '@thermomesh/contracts';
import type { NodeChildren, NodeData, ZooKeeper } from '@thermomesh/zookeeper';
import { showData, type DataFormat } from './data.ts';
import { worded } from './error-messages.ts';

export interface WatchOptions {
  format?: DataFormat | undefined;
  /** Ends after this many events, including the first state; by default it never ends by itself. */
  count?: number | undefined;
  signal: AbortSignal;
  onEvent: (event: ZkEventDocument) => void;
}

/**
 * Reports the state now and then every change, until `signal` aborts, without polling. Changes that
 * follow each other faster than they can be read become one event.
 */
export async function watchNode(zk: ZooKeeper, path: string, options: WatchOptions): Promise<void> {
  await using data = zk.watchData(path);
  await using children = zk.watchChildren(path);
  try {
    const reporter = new EventReporter(path, await data.first(), await children.first(), options);
    const { signal } = options;
    const end = Promise.withResolvers<undefined>();
    const finish = () => end.resolve(undefined);
    signal.addEventListener('abort', finish);
    const follow = async <T>(states: AsyncIterable<T>, take: (state: T) => void) => {
      for await (const state of states) {
        if (!reporter.done) take(state);
        if (reporter.done) break;
      }
      // A watch that ends by itself has failed, and its iterator has thrown by now.
      finish();
    };
    if (signal.aborted || reporter.done) return;
    const following = [
      follow(data, (state) => reporter.takeData(state)),
      follow(children, (state) => reporter.takeChildren(state)),
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

/** Turns states into events. */
class EventReporter {
  readonly #path: string;
  readonly #options: WatchOptions;
  #node: NodeData | undefined;
  #names: string[] | undefined;
  #reported = 0;

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
    this.#report(node === undefined ? 'absent' : 'present');
  }

  get done(): boolean {
    return this.#reported >= (this.#options.count ?? Infinity);
  }

  takeData(node: NodeData | undefined): void {
    const before = this.#node;
    this.#node = node;
    if (node === undefined) {
      this.#names = undefined;
      if (before !== undefined) this.#report('deleted');
      return;
    }
    this.#names ??= [];
    // Another node under the same name was created, although the gap was not seen.
    if (before?.stat.czxid !== node.stat.czxid) this.#report('created');
    else if (before.stat.mzxid !== node.stat.mzxid) this.#report('changed');
  }

  takeChildren(children: NodeChildren | undefined): void {
    const before = this.#names;
    // The watch of the data reports when the node itself comes or goes.
    if (children === undefined || before === undefined) return;
    this.#names = children.names;
    if (before.join('/') !== children.names.join('/')) this.#report('children');
  }

  #report(event: ZkEventDocument['event']): void {
    const node = this.#node;
    const shown = node === undefined ? undefined : showData(node.data, this.#path, this.#options.format);
    this.#reported += 1;
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
