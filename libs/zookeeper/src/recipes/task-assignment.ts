/** Task assignment: an elected master assigns, workers execute, orphans of a dead worker are reclaimed. */
import { randomUUID } from 'node:crypto';
import { hostname } from 'node:os';
import { join } from '../client/paths.ts';
import type { WatchEvent } from '../client/types.ts';
import type { WaitOptions, ZooKeeper } from '../client/zookeeper.ts';
import { hasCode, ZooKeeperError } from '../errors.ts';
import { encode } from './documents.ts';
import type { Lease } from './lease.ts';
import { orAborted, Recipe } from './recipe.ts';
import { TaskMaster } from './task-master.ts';
import { TaskNodes } from './task-nodes.ts';
import type { TaskDocument, TaskOutcome } from './task-plan.ts';
import { TaskWorker, type Execute, type Settlement } from './task-worker.ts';
import { within } from './waiting.ts';

export interface TaskOptions {
  path: string;
  /** Shown to those who look. */
  id?: string;
  /** Stands for master. Default: true. */
  master?: boolean;
  /** Left out: it does no tasks. */
  execute?: Execute;
  /** How many tasks it does at a time. */
  slots?: number;
  /** Unfinished tasks beyond which `submit` refuses: this is no queue. Everybody who submits has to say the same. */
  outstandingMax?: number;
  /** A task that so many workers have not survived is given up. Every master has to say the same. */
  attemptsMax?: number;
  /** The latest results are kept for those who ask for them. */
  resultsKeptMax?: number;
  /** How long `close` waits for tasks that do not heed their signal. */
  closeTimeoutMs?: number;
  /** An answer of this worker was recorded, or refused because the task had been given to somebody else. */
  onSettled?: (id: string, settlement: Settlement) => void;
  /** It cannot go on: no right to create a node, say. */
  onFailed?: (error: unknown) => void;
}

/** Limits of a task assignment. */
export const defaultTaskLimits = {
  slots: 1,
  outstandingMax: 100,
  attemptsMax: 5,
  resultsKeptMax: 1_000,
  closeTimeoutMs: 5_000,
} as const;

/**
 * Each task that was submitted has one result, in the end: of a worker, or that it was given up. One of those that stand is elected master and
 * gives tasks to workers; a task whose worker's session has ended is given to another one. A worker may so find work half done, or
 * done: what it does elsewhere has to bear that. Fenced on both sides: the servers refuse what a deposed master gives and what a worker
 * answers whose task is somebody else's by now, however late they wake.
 */
export class TaskAssignment extends Recipe {
  readonly #nodes: TaskNodes;
  readonly #outstandingMax: number;
  readonly #master: TaskMaster | undefined;
  readonly #worker: TaskWorker | undefined;

  /** @throws RangeError unless the limits are positive integers; ZooKeeperError `zookeeper.bad_path` if the id is no name of a node */
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

  /** True if it may act as master now. */
  get leads(): boolean {
    return this.#master?.leads ?? false;
  }

  /** Of the master, while it leads or is suspended. Its epoch is in each task that it gives. */
  get lease(): Lease | undefined {
    return this.#master?.lease;
  }

  /** True while the servers count on this worker. */
  get joined(): boolean {
    return this.#worker?.joined ?? false;
  }

  /**
   * Hands a task over. Whoever submits the same id again, because an answer was lost, say, changes nothing.
   * @param payload anything that JSON can say, in kilobytes; larger things belong elsewhere, with their address here
   * @returns its id, which `result` takes
   * @throws ZooKeeperError `zookeeper.too_many_requests` (retriable) if `outstandingMax` tasks are unfinished, `zookeeper.too_large`,
   * `zookeeper.bad_path` if the id is no name of a node, `zookeeper.timeout`, `zookeeper.closed`; the signal's reason
   */
  async submit(payload: unknown, options: WaitOptions & { id?: string } = {}): Promise<string> {
    this.assertStarted();
    const { id = randomUUID(), ...rest } = options;
    assertName(id);
    const { closing, path } = this;
    await within({ ...rest, closing, path, what: () => `${id} was not taken` }, async (signal) =>
      this.#submit(id, { payload, attempts: 0 }, signal),
    );
    return id;
  }

  /**
   * Waits until the task is finished. Can be asked by anybody, and again.
   * @throws ZooKeeperError `zookeeper.no_node` if there is no such task, or its result is too old to be kept; `zookeeper.timeout`,
   * `zookeeper.closed`; the signal's reason
   */
  async result(id: string, options: WaitOptions = {}): Promise<TaskOutcome> {
    this.assertStarted();
    const { closing, path } = this;
    return within({ ...options, closing, path, what: () => `${id} was not finished` }, async (signal) =>
      this.#result(id, signal),
    );
  }

  /** Ids of the tasks that are not finished. */
  async outstanding(): Promise<string[]> {
    this.assertStarted();
    return this.zk.retry(async () => this.#nodes.children(this.#nodes.tasks), { signal: this.closing });
  }

  protected override onStart(): void {
    this.#master?.start();
    this.#worker?.start();
  }

  /** Tasks under way are aborted and left to others. */
  protected override async onClose(): Promise<void> {
    await Promise.all([this.#worker?.close(), this.#master?.close()]);
  }

  async #submit(id: string, document: TaskDocument, signal: AbortSignal): Promise<void> {
    for (;;) {
      await this.zk.whenConnected({ signal });
      const outstanding = await this.#trySubmit(id, document).catch(async (error: unknown) => {
        signal.throwIfAborted();
        if (hasCode(error, 'zookeeper.no_node')) {
          await this.#nodes.make().catch(async (fault: unknown) => this.zk.pauseAfter(fault));
        } else if (!hasCode(error, 'zookeeper.bad_version', 'zookeeper.node_exists')) {
          await this.zk.pauseAfter(error);
        }
        return 'again' as const;
      });
      if (outstanding === 'again') continue;
      if (outstanding === undefined) return;
      const message = `${this.path}: ${outstanding} tasks are unfinished, ${this.#outstandingMax} may be`;
      throw new ZooKeeperError('zookeeper.too_many_requests', message, { path: this.path });
    }
  }

  /** Undefined if it is there; else how many there are, which are too many. */
  async #trySubmit(id: string, document: TaskDocument): Promise<number | undefined> {
    const { tasks } = this.#nodes;
    // In this order: each submission writes the folder of tasks, so what comes in after the first read spoils the version.
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
        // In this order: a task goes from one place to the other in one step.
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
            `${id}: no such task, or its result is not kept any more`,
            {
              path,
            },
          );
        }
        await orAborted(event.promise, signal);
      } catch (error) {
        signal.throwIfAborted();
        await this.zk.pauseAfter(error);
      }
    }
  }
}

function assertName(id: string): void {
  if (id === '' || id.includes('/')) {
    throw new ZooKeeperError('zookeeper.bad_path', `${JSON.stringify(id)} is no name of a node`);
  }
}
