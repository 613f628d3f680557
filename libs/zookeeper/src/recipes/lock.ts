/** Mutual exclusion: one holder, or many readers and one writer. Fair, fenced, released on death. */
import { hostname } from 'node:os';
import type { WaitOptions, ZooKeeper } from '../client/zookeeper.ts';
import { ZooKeeperError } from '../errors.ts';
import { encode } from './documents.ts';
import type { Lease, NodeLease } from './lease.ts';
import { waitForTurn } from './queue.ts';
import { Recipe } from './recipe.ts';
import { everyoneBlocks, writersBlock, type Blocks } from './tickets.ts';

/** A recipe whose leases are acquired one by one and all given up by `close`. */
export abstract class LeaseRecipe extends Recipe {
  readonly #held = new Set<Lease>();
  readonly #waiting = new Set<Promise<unknown>>();

  /** How many leases of this object are held or suspended. */
  get holds(): number {
    return this.#held.size;
  }

  /**
   * @throws ZooKeeperError `zookeeper.timeout` after `timeoutMs`; the signal's reason; `zookeeper.closed`
   */
  protected async obtain(
    wait: (signal: AbortSignal) => Promise<NodeLease>,
    { timeoutMs, signal }: WaitOptions,
  ): Promise<Lease> {
    this.assertStarted();
    const late = new AbortController();
    const timer =
      timeoutMs === undefined ? undefined : setTimeout(() => late.abort(this.#timeout(timeoutMs)), timeoutMs);
    const signals = [this.closing, late.signal, signal].filter((each) => each !== undefined);
    const waiting = wait(AbortSignal.any(signals));
    this.#waiting.add(waiting);
    try {
      const lease = await waiting;
      this.#held.add(lease);
      void lease.ended.then(() => this.#held.delete(lease));
      return lease;
    } finally {
      clearTimeout(timer);
      this.#waiting.delete(waiting);
    }
  }

  protected override onStart(): void {
    // Nothing runs by itself.
  }

  protected override async onClose(): Promise<void> {
    await Promise.allSettled(this.#waiting);
    await Promise.all([...this.#held].map(async (lease) => lease.release()));
  }

  #timeout(timeoutMs: number): ZooKeeperError {
    return new ZooKeeperError('zookeeper.timeout', `${this.path}: not acquired within ${timeoutMs} ms`, {
      path: this.path,
    });
  }
}

/** One queue of tickets, whatever blocks whom. */
abstract class QueueLock extends LeaseRecipe {
  readonly #owner: string;

  /** @param owner shown in the node, for people who look */
  constructor(zk: ZooKeeper, path: string, owner = `${hostname()}:${process.pid}`) {
    super(zk, path);
    this.#owner = owner;
  }

  protected async queue(kind: string, blocks: Blocks, options: WaitOptions): Promise<Lease> {
    const data = encode({ owner: this.#owner });
    return this.obtain(
      async (signal) => waitForTurn(this.zk, { directory: this.path, kind, data, blocks, signal }),
      options,
    );
  }
}

/** Calls with the lease, and gives it up afterwards, whatever comes of it. */
async function withLease<T>(lease: Lease, work: (lease: Lease) => Promise<T>): Promise<T> {
  try {
    return await work(lease);
  } finally {
    await lease.release();
  }
}

/** A lock. Not reentrant: each `acquire` is a holder of its own, within one process too. First come, first served. */
export class Lock extends QueueLock {
  /** @throws ZooKeeperError `zookeeper.timeout`, `zookeeper.closed`; the signal's reason */
  async acquire(options: WaitOptions = {}): Promise<Lease> {
    return this.queue('lock', everyoneBlocks, options);
  }

  /** Holds the lock while `work` runs. `work` has to check the lease, or have its epoch checked, before each act. */
  async use<T>(work: (lease: Lease) => Promise<T>, options: WaitOptions = {}): Promise<T> {
    return withLease(await this.acquire(options), work);
  }
}

/**
 * Many readers or one writer, in order of arrival: a reader that comes after a waiting writer waits too, so no writer starves.
 * A resource refuses a write whose epoch is below any it has seen, and a read whose epoch is below that of the last write.
 */
export class ReadWriteLock extends QueueLock {
  async read(options: WaitOptions = {}): Promise<Lease> {
    return this.queue('read', writersBlock, options);
  }

  async write(options: WaitOptions = {}): Promise<Lease> {
    return this.queue('write', writersBlock, options);
  }

  async useRead<T>(work: (lease: Lease) => Promise<T>, options: WaitOptions = {}): Promise<T> {
    return withLease(await this.read(options), work);
  }

  async useWrite<T>(work: (lease: Lease) => Promise<T>, options: WaitOptions = {}): Promise<T> {
    return withLease(await this.write(options), work);
  }
}
