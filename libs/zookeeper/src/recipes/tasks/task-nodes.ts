/**
 * The nodes of the tasks, and the transactions that move tasks between them. Each transaction is
 * refused as a whole if anything it expects has changed.
 */
import { join, nameOf } from '../../client/paths.ts';
import type { Operation } from '../../client/types.ts';
import type { ZooKeeper } from '../../client/zookeeper.ts';
import { hasCode } from '../../errors.ts';
import { encode } from '../documents.ts';
import { given, readResult, readTask, type KnownTask, type ResultDocument } from './task-plan.ts';

/** The nodes of one task assignment. */
export class TaskNodes {
  readonly tasks: string;
  readonly results: string;
  readonly workers: string;
  readonly assigned: string;
  readonly #zk: ZooKeeper;

  constructor(zk: ZooKeeper, path: string) {
    this.#zk = zk;
    this.tasks = join(path, 'tasks');
    this.results = join(path, 'results');
    this.workers = join(path, 'workers');
    this.assigned = join(path, 'assigned');
  }

  /** The unfinished task; undefined if the node is missing or does not hold a task. */
  async task(id: string): Promise<KnownTask | undefined> {
    try {
      const { data, stat } = await this.#zk.getData(join(this.tasks, id));
      const document = readTask(data);
      if (document === undefined) return undefined;
      return { id, submitted: stat.czxid, version: stat.version, document };
    } catch (error) {
      if (hasCode(error, 'zookeeper.no_node')) return undefined;
      throw error;
    }
  }

  async result(id: string): Promise<ResultDocument | undefined> {
    try {
      return readResult((await this.#zk.getData(join(this.results, id))).data);
    } catch (error) {
      if (hasCode(error, 'zookeeper.no_node')) return undefined;
      throw error;
    }
  }

  /** The names of the children; none if there is no such node. */
  async children(path: string): Promise<string[]> {
    try {
      return (await this.#zk.getChildren(path)).names;
    } catch (error) {
      if (hasCode(error, 'zookeeper.no_node')) return [];
      throw error;
    }
  }

  async make(): Promise<void> {
    await Promise.all(
      [this.tasks, this.results, this.workers, this.assigned].map(async (path) => this.#zk.ensurePath(path)),
    );
  }

  /**
   * The master gives a task to a worker. The transaction requires the master's seat in the
   * election, so a deposed master changes nothing, and the version of the task that was read.
   * @returns the task as it is now
   */
  async give(seat: { path: string; epoch: bigint }, task: KnownTask, worker: string): Promise<KnownTask> {
    const document = given(task.document, worker, seat.epoch);
    const folder = join(this.assigned, worker);
    const missing = (await this.#zk.exists(folder)) === undefined;
    await this.#zk.multi([
      { type: 'check', path: seat.path, version: -1 },
      // A worker that has gone meanwhile must not get the task.
      { type: 'check', path: join(this.workers, worker), version: -1 },
      { type: 'set', path: join(this.tasks, task.id), data: encode(document), version: task.version },
      ...this.#unassign(task),
      ...(missing ? [{ type: 'create' as const, path: folder }] : []),
      { type: 'create', path: this.#pointer(worker, task.id) },
    ]);
    return { ...task, version: task.version + 1, document };
  }

  /** The master finishes a task that no worker must get any more. */
  async giveUp(seat: { path: string }, task: KnownTask, error: string): Promise<void> {
    const result: ResultDocument = { outcome: { ok: false, error }, by: nameOf(seat.path) };
    await this.#zk.multi([{ type: 'check', path: seat.path, version: -1 }, ...this.#finish(task, result)]);
  }

  /** A worker finishes its task, if it is still the task as it was given. */
  async finish(task: KnownTask, result: ResultDocument): Promise<void> {
    await this.#zk.multi(this.#finish(task, result));
  }

  /** The master removes the empty folder of a worker that is gone; a folder with content stays. */
  async removeFolder(seat: { path: string }, worker: string): Promise<void> {
    try {
      await this.#zk.multi([
        { type: 'check', path: seat.path, version: -1 },
        { type: 'delete', path: join(this.assigned, worker) },
      ]);
    } catch (error) {
      if (!hasCode(error, 'zookeeper.not_empty')) throw error;
    }
  }

  #finish(task: KnownTask, result: ResultDocument): Operation[] {
    return [
      { type: 'delete', path: join(this.tasks, task.id), version: task.version },
      ...this.#unassign(task),
      { type: 'create', path: join(this.results, task.id), data: encode(result) },
    ];
  }

  #unassign({ id, document: { worker } }: KnownTask): Operation[] {
    return worker === undefined ? [] : [{ type: 'delete', path: this.#pointer(worker, id) }];
  }

  #pointer(worker: string, id: string): string {
    return join(join(this.assigned, worker), id);
  }
}
