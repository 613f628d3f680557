/** A worker of a task assignment: executes the tasks that it gets, as long as its session lives. */
import { randomUUID } from 'node:crypto';
import { messageOf, sleep } from '@thermomesh/runtime';
import { join } from '../../client/paths.ts';
import type { ZooKeeper } from '../../client/zookeeper.ts';
import { hasCode, mayHaveHappened } from '../../errors.ts';
import { tryClaim } from '../leases/claim.ts';
import type { Lease } from '../leases/lease.ts';
import { isEnd, Recipe } from '../recipe.ts';
import type { TaskNodes } from './task-nodes.ts';
import type { KnownTask, ResultDocument, TaskOutcome } from './task-plan.ts';

/** What a worker gets with a task. */
export interface TaskContext {
  id: string;
  /**
   * Counts from 1. If it is higher, an earlier worker may have done some of the work, or all but
   * the answer.
   */
  attempt: number;
  /** Aborted when the task no longer belongs to this worker, or when the worker is closed. */
  signal: AbortSignal;
  /**
   * True while the servers count on this worker. It asks the clock, so it is right in a process
   * that has just woken.
   */
  held: () => boolean;
}

/** Executes a task. The returned value (JSON) is the answer, and so is a thrown error. */
export type Execute = (payload: unknown, context: TaskContext) => Promise<unknown>;

/**
 * Whether an answer counted. `refused`: the task no longer belonged to this worker. `unknown`: the
 * session ended before the servers answered; `result` tells.
 */
export type Settlement = 'recorded' | 'refused' | 'unknown';

export interface TaskWorkerOptions {
  path: string;
  id: string;
  nodes: TaskNodes;
  slots: number;
  execute: Execute;
  /** Maximum time that `close` waits for tasks that ignore their signal. */
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

  /** True while the servers count on this worker. */
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

  /**
   * Uses a new name in each session, so that tasks given to an earlier session are not taken for
   * its own.
   */
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

  /** Serves under one name until its lease ends. */
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
    // The next session does not wait for executions whose answers can no longer count.
    if (this.closing.aborted) await this.#finishing(executions);
  }

  /**
   * Waits for the executions; those that ignore their signal are abandoned after `closeTimeoutMs`,
   * and their answers do not count.
   */
  async #finishing(executions: ReadonlyMap<string, Promise<void>>): Promise<void> {
    const done = new AbortController();
    const timeout = sleep(this.#options.closeTimeoutMs, done.signal);
    await Promise.race([Promise.all(executions.values()), timeout]);
    done.abort();
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
        // This worker is gone, but the task is not: another worker will execute it.
        if (signal.aborted) return onSettled(id, 'refused');
        outcome = { ok: false, error: messageOf(error) };
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
        const error = await this.#nodes.finish(task, result).catch((reason: unknown) => reason);
        if (error === undefined) return 'recorded';
        if (hasCode(error, 'zookeeper.no_node', 'zookeeper.bad_version', 'zookeeper.node_exists')) {
          // The task has gone to another worker, or an earlier attempt of ours succeeded and its
          // answer was lost.
          const counted = await this.zk.retry(async () => this.#nodes.result(task.id), { signal });
          return counted?.by === by ? 'recorded' : 'refused';
        }
        if (result.outcome.ok && hasCode(error, 'zookeeper.too_large')) {
          result = { outcome: { ok: false, error: error.message }, by };
          continue;
        }
        asked ||= mayHaveHappened(error);
        await this.zk.pauseAfter(error);
      }
    } catch (error) {
      if (asked && signal.aborted) return 'unknown';
      throw error;
    }
  }
}
