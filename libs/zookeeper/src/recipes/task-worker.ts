/** A worker of a task assignment: does what it is given, as long as it is counted as alive. */
import { randomUUID } from 'node:crypto';
import { join } from '../client/paths.ts';
import type { ZooKeeper } from '../client/zookeeper.ts';
import { hasCode, isRetriable } from '../errors.ts';
import { tryClaim } from './claim.ts';
import type { Lease } from './lease.ts';
import { isEnd, Recipe } from './recipe.ts';
import type { TaskNodes } from './task-nodes.ts';
import type { KnownTask, ResultDocument, TaskOutcome } from './task-plan.ts';

/** What a worker is told of a task. */
export interface TaskContext {
  id: string;
  /** From 1; more than 1: a worker before this one may have done some of it, or all but the answer. */
  attempt: number;
  /** Aborted when the task is not this worker's any more, or it is closed. */
  signal: AbortSignal;
  /** True while the servers count on this worker. Asks the clock, so it is right in a process that has just woken. */
  held: () => boolean;
}

/** Does a task; what it returns (JSON) is the answer, what it throws too. */
export type Execute = (payload: unknown, context: TaskContext) => Promise<unknown>;

/**
 * Whether an answer counted. `refused`: the task was not this worker's any more. `unknown`: its session ended before the servers' word came;
 * `result` tells.
 */
export type Settlement = 'recorded' | 'refused' | 'unknown';

export interface TaskWorkerOptions {
  path: string;
  id: string;
  nodes: TaskNodes;
  slots: number;
  execute: Execute;
  /** How long `close` waits for tasks that do not heed their signal. */
  closeTimeoutMs: number;
  onSettled: (id: string, settlement: Settlement) => void;
  onFailed: (error: unknown) => void;
}

export class TaskWorker extends Recipe {
  readonly #options: TaskWorkerOptions;
  readonly #nodes: TaskNodes;
  #lease: Lease | undefined;
  #running: Promise<void> = Promise.resolve();

  constructor(zk: ZooKeeper, options: TaskWorkerOptions) {
    super(zk, options.path);
    this.#options = options;
    this.#nodes = options.nodes;
  }

  /** True while the servers count on it. */
  get joined(): boolean {
    return this.#lease?.held ?? false;
  }

  protected override onStart(): void {
    this.#running = this.#run();
  }

  protected override async onClose(): Promise<void> {
    await this.#lease?.release();
    await this.#running;
  }

  /** Another name in each session: nobody takes what an earlier life was given for its own. */
  async #run(): Promise<void> {
    const { id, slots } = this.#options;
    while (!this.closing.aborted) {
      const name = `${id}-${randomUUID()}`;
      try {
        const path = join(this.#nodes.workers, name);
        const lease = await tryClaim(this.zk, { path, content: { slots }, signal: this.closing });
        if (lease === 'taken') continue;
        this.#lease = lease;
        await this.#serve(name, lease);
      } catch (error) {
        if (!isEnd(error, this.closing)) this.#options.onFailed(error);
        await this.#lease?.release();
        return;
      }
    }
  }

  /** Until its name is worth nothing any more. */
  async #serve(name: string, lease: Lease): Promise<void> {
    const executions = new Map<string, Promise<void>>();
    const watch = this.zk.watchChildren(join(this.#nodes.assigned, name));
    watch.subscribe((children) => {
      for (const id of children?.names ?? []) {
        if (executions.has(id)) continue;
        const execution = this.#do(id, name, lease).finally(() => executions.delete(id));
        executions.set(id, execution);
      }
    });
    await lease.ended;
    await watch.close();
    // In its next life it does not wait for what it cannot answer any more.
    if (this.closing.aborted) await this.#finishing(executions);
  }

  /** Those that heed their signal are waited for, the others for so long; nobody takes their answers. */
  async #finishing(executions: ReadonlyMap<string, Promise<void>>): Promise<void> {
    const late = Promise.withResolvers<undefined>();
    const timer = setTimeout(() => late.resolve(undefined), this.#options.closeTimeoutMs);
    await Promise.race([Promise.all(executions.values()), late.promise]);
    clearTimeout(timer);
  }

  /** Never rejects. */
  async #do(id: string, name: string, lease: Lease): Promise<void> {
    const { execute, onSettled, onFailed } = this.#options;
    const { signal } = lease;
    try {
      const task = await this.zk.retry(async () => this.#nodes.task(id), { signal });
      if (task?.document.worker !== name) return;
      const attempt = task.document.attempts;
      const held = () => lease.held;
      let outcome: TaskOutcome;
      try {
        outcome = { ok: true, value: await execute(task.document.payload, { id, attempt, signal, held }) };
      } catch (error) {
        // Its worker is gone, not the task: somebody else will do it.
        if (signal.aborted) return onSettled(id, 'refused');
        outcome = { ok: false, error: error instanceof Error ? error.message : String(error) };
      }
      onSettled(id, await this.#settle(task, outcome, name, signal));
    } catch (error) {
      if (signal.aborted || isEnd(error, this.closing)) onSettled(id, 'refused');
      else onFailed(error);
    }
  }

  async #settle(task: KnownTask, outcome: TaskOutcome, by: string, signal: AbortSignal): Promise<Settlement> {
    let asked = false;
    let result: ResultDocument = { outcome, by };
    try {
      for (;;) {
        await this.zk.whenConnected({ signal });
        const fault = await this.#nodes.finish(task, result).catch((error: unknown) => error);
        if (fault === undefined) return 'recorded';
        if (hasCode(fault, 'zookeeper.no_node', 'zookeeper.bad_version', 'zookeeper.node_exists')) {
          // Somebody else's by now, or ours since a try whose answer was lost.
          const counted = await this.zk.retry(async () => this.#nodes.result(task.id), { signal });
          return counted?.by === by ? 'recorded' : 'refused';
        }
        if (result.outcome.ok && hasCode(fault, 'zookeeper.too_large')) {
          result = { outcome: { ok: false, error: fault.message }, by };
          continue;
        }
        asked ||= isRetriable(fault) && fault.applied === 'unknown';
        await this.zk.pauseAfter(fault);
      }
    } catch (error) {
      if (asked && signal.aborted) return 'unknown';
      throw error;
    }
  }
}
