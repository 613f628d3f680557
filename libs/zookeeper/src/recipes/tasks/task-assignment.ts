/**
 * Task assignment: an elected master assigns tasks to workers and reclaims the tasks of dead
 * workers.
 */
import { randomUUID } from 'node:crypto';
import { hostname } from 'node:os';
import { raceAbort } from '@thermomesh/runtime';
import { join } from '../../client/paths.ts';
import type { WatchEvent } from '../../client/types.ts';
import type { WaitOptions, ZooKeeper } from '../../client/zookeeper.ts';
import { hasCode, ZooKeeperError } from '../../errors.ts';
import { encode } from '../documents.ts';
import type { Lease } from '../leases/lease.ts';
import { Recipe } from '../recipe.ts';
import { TaskMaster } from './task-master.ts';
import { TaskNodes } from './task-nodes.ts';
import type { TaskDocument, TaskOutcome } from './task-plan.ts';
import { TaskWorker, type Execute, type Settlement } from './task-worker.ts';
import { within } from '../waiting.ts';

export interface TaskOptions {
  path: string;
  /** The name shown to observers. */
  id?: string;
  /** Whether this process is a candidate for master. Default: true. */
  master?: boolean;
  /** Omit it if this process executes no tasks. */
  execute?: Execute;
  /** The number of tasks that this worker executes at a time. */
  slots?: number;
  /**
   * Maximum number of unfinished tasks; `submit` refuses more, because this is not a queue. The
   * same for every submitter.
   */
  outstandingMax?: number;
  /** A task that this many workers have not survived is given up. The same for every master. */
  attemptsMax?: number;
  /** The number of latest results that are kept. */
  resultsKeptMax?: number;
  /** Maximum time that `close` waits for tasks that ignore their signal. */
  closeTimeoutMs?: number;
  /**
   * An answer of this worker was recorded, or refused because the task had been given to another
   * worker.
   */
  onSettled?: (id: string, settlement: Settlement) => void;
  /** The recipe cannot continue: for example, this client may not create a node. */
  onFailed?: (error: unknown) => void;
}

/** Default limits of a task assignment. */
export const defaultTaskLimits = {
  slots: 1,
  outstandingMax: 100,
  attemptsMax: 5,
  resultsKeptMax: 1_000,
  closeTimeoutMs: 5_000,
} as const;

/**
 * Every submitted task ends with exactly one result: a worker's answer, or a message that it was
 * given up. One of the candidates is elected master and gives tasks to workers. A task whose
 * worker's session has ended goes to another worker, which may find the work half done or done, so
 * its effects elsewhere must be idempotent. Both sides are fenced: the servers refuse the writes of
 * a deposed master, and the answers of a worker whose task has been given to another one, however
 * late they wake.
 */
export class TaskAssignment extends Recipe {
  readonly #nodes: TaskNodes;
  readonly #outstandingMax: number;
  readonly #master: TaskMaster | undefined;
  readonly #worker: TaskWorker | undefined;

  /**
   * @throws RangeError unless the limits are positive integers; ZooKeeperError `zookeeper.bad_path`
   *   if the id is not a valid node name
   */
  constructor(zk: ZooKeeper, options: TaskOptions) {
    super(zk, options.path);
    const { path, id = `${hostname()}:${process.pid}`, master = true, execute } = options;
    const limits = {
      slots: options.slots ?? defaultTaskLimits.slots,
      outstandingMax: options.outstandingMax ?? defaultTaskLimits.outstandingMax,
      attemptsMax: options.attemptsMax ?? defaultTaskLimits.attemptsMax,
      resultsKeptMax: options.resultsKeptMax ?? defaultTaskLimits.resultsKeptMax,
      closeTimeoutMs: options.closeTimeoutMs ?? defaultTaskLimits.closeTimeoutMs,
    };
    for (const [name, value] of Object.entries(limits)) {
      if (!Number.isInteger(value) || value < 1) throw new RangeError(`${name} must be a positive integer`);
    }
    assertName(id);
    const { slots, outstandingMax, attemptsMax, resultsKeptMax, closeTimeoutMs } = limits;
    const { onFailed = () => undefined, onSettled = () => undefined } = options;
    this.#outstandingMax = outstandingMax;
    const nodes = new TaskNodes(zk, path);
    this.#nodes = nodes;
    if (master) this.#master = new TaskMaster(zk, { path, id, nodes, attemptsMax, resultsKeptMax, onFailed });
    if (execute !== undefined) {
      this.#worker = new TaskWorker(zk, {
        path,
        id,
        nodes,
        slots,
        execute,
        closeTimeoutMs,
        onSettled,
        onFailed,
      });
    }
  }

  /** True if this process may act as master now. */
  get leads(): boolean {
    return this.#master?.leads ?? false;
  }

  /**
   * The master's lease, while it leads or is suspended. Its epoch is stored in each task that it
   * gives.
   */
  get lease(): Lease | undefined {
    return this.#master?.lease;
  }

  /** True while the servers count on this worker. */
  get joined(): boolean {
    return this.#worker?.joined ?? false;
  }

  /**
   * Submits a task. Submitting the same id again, for example after a lost answer, has no effect.
   * @param payload any JSON value of a few kilobytes; store larger data elsewhere and its address
   *   here
   * @returns the id of the task, for `result`
   * @throws ZooKeeperError `zookeeper.too_many_requests` (retriable) if `outstandingMax` tasks are
   *   unfinished, `zookeeper.too_large`, `zookeeper.bad_path` if the id is not a valid node name,
   *   `zookeeper.timeout`, `zookeeper.closed`; the signal's reason
   */
  async submit(payload: unknown, options: WaitOptions & { id?: string } = {}): Promise<string> {
    this.assertStarted();
    const { id = randomUUID(), ...rest } = options;
    assertName(id);
    const { closing, path } = this;
    await within({ ...rest, closing, path, what: () => `${id} was not accepted` }, async (signal) =>
      this.#submit(id, { payload, attempts: 0 }, signal),
    );
    return id;
  }

  /**
   * Waits until the task is finished. Any process may ask, repeatedly.
   * @throws ZooKeeperError `zookeeper.no_node` if there is no such task, or its result is too old
   *   to be kept; `zookeeper.timeout`, `zookeeper.closed`; the signal's reason
   */
  async result(id: string, options: WaitOptions = {}): Promise<TaskOutcome> {
    this.assertStarted();
    const { closing, path } = this;
    return within({ ...options, closing, path, what: () => `${id} was not finished` }, async (signal) =>
      this.#result(id, signal),
    );
  }

  /** The ids of the unfinished tasks. */
  async outstanding(): Promise<string[]> {
    this.assertStarted();
    return this.zk.retry(async () => this.#nodes.children(this.#nodes.tasks), { signal: this.closing });
  }

  protected override onStart(): void {
    this.#master?.start();
    this.#worker?.start();
  }

  /** Running tasks are aborted; other workers will execute them. */
  protected override async onClose(): Promise<void> {
    await Promise.all([this.#worker?.close(), this.#master?.close()]);
  }

  async #submit(id: string, document: TaskDocument, signal: AbortSignal): Promise<void> {
    for (;;) {
      await this.zk.whenConnected({ signal });
      const outstanding = await this.#trySubmit(id, document).catch(async (error: unknown) => {
        signal.throwIfAborted();
        if (hasCode(error, 'zookeeper.no_node')) {
          await this.#nodes.make().catch(async (failure: unknown) => this.zk.pauseAfter(failure));
        } else if (!hasCode(error, 'zookeeper.bad_version', 'zookeeper.node_exists')) {
          await this.zk.pauseAfter(error);
        }
        return 'again' as const;
      });
      if (outstanding === 'again') continue;
      if (outstanding === undefined) return;
      const message = `${this.path}: ${outstanding} tasks are unfinished, and at most ${this.#outstandingMax} may be`;
      throw new ZooKeeperError('zookeeper.too_many_requests', message, { path: this.path });
    }
  }

  /**
   * Returns undefined once the task is there, otherwise the number of unfinished tasks, which is
   * too high.
   */
  async #trySubmit(id: string, document: TaskDocument): Promise<number | undefined> {
    const { tasks } = this.#nodes;
    // The order matters: each submission writes to the folder of tasks, so a task that arrives
    // after the first read changes the folder's version.
    const [, { stat }] = await Promise.all([this.zk.sync(tasks), this.zk.getData(tasks)]);
    const [task, result] = await Promise.all([this.#nodes.task(id), this.#nodes.result(id)]);
    if (task !== undefined || result !== undefined) return undefined;
    if (stat.children >= this.#outstandingMax) return stat.children;
    await this.zk.multi([
      { type: 'set', path: tasks, data: Buffer.alloc(0), version: stat.version },
      { type: 'create', path: join(tasks, id), data: encode(document) },
    ]);
    return undefined;
  }

  async #result(id: string, signal: AbortSignal): Promise<TaskOutcome> {
    for (;;) {
      await this.zk.whenConnected({ signal });
      try {
        const event = Promise.withResolvers<WatchEvent>();
        const path = join(this.#nodes.results, id);
        // The order matters: a task moves from one folder to the other in one transaction.
        const [, task, stat] = await Promise.all([
          this.zk.sync(path),
          this.#nodes.task(id),
          this.zk.exists(path, event.resolve),
        ]);
        const result = stat === undefined ? undefined : await this.#nodes.result(id);
        if (result !== undefined) return result.outcome;
        if (task === undefined) {
          throw new ZooKeeperError(
            'zookeeper.no_node',
            `${id}: there is no such task, or its result is no longer kept`,
            {
              path,
            },
          );
        }
        await raceAbort(event.promise, signal);
      } catch (error) {
        signal.throwIfAborted();
        await this.zk.pauseAfter(error);
      }
    }
  }
}

function assertName(id: string): void {
  if (id === '' || id.includes('/')) {
    throw new ZooKeeperError('zookeeper.bad_path', `${JSON.stringify(id)} is not a valid node name`);
  }
}
