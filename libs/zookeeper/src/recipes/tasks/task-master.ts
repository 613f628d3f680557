/** The master of a task assignment: an elected candidate that gives tasks to workers. */
import { join } from '../../client/paths.ts';
import type { NodeChildren } from '../../client/types.ts';
import type { Watch } from '../../client/watch.ts';
import type { ZooKeeper } from '../../client/zookeeper.ts';
import { hasCode, isRetriable } from '../../errors.ts';
import { GroupMembership } from '../groups/group-membership.ts';
import { LeaderElection } from '../election/leader-election.ts';
import type { Lease } from '../leases/lease.ts';
import { Recipe } from '../recipe.ts';
import type { TaskNodes } from './task-nodes.ts';
import { planTasks, type KnownTask, type TaskStep } from './task-plan.ts';

export interface TaskMasterOptions {
  path: string;
  id: string;
  nodes: TaskNodes;
  attemptsMax: number;
  resultsKeptMax: number;
  onFailed: (error: unknown) => void;
}

/** The oldest results are looked for only when there are this many times `resultsKeptMax`. */
const resultsSlack = 1.25;

export class TaskMaster extends Recipe {
  readonly #options: TaskMasterOptions;
  readonly #nodes: TaskNodes;
  readonly #election: LeaderElection;
  readonly #group: GroupMembership<{ slots: number }>;
  /**
   * The tasks as this master has read or written them in this term. Each write expects the version,
   * so an outdated entry only costs a refused write.
   */
  readonly #known = new Map<string, KnownTask>();
  #watch: Watch<NodeChildren | undefined> | undefined;
  #working: Promise<void> = Promise.resolve();
  #woken = false;

  constructor(zk: ZooKeeper, options: TaskMasterOptions) {
    super(zk, options.path);
    this.#options = options;
    this.#nodes = options.nodes;
    const { id, nodes, onFailed } = options;
    this.#group = new GroupMembership<{ slots: number }>(zk, {
      path: nodes.workers,
      parse: (content) => {
        const { slots } = (content ?? {}) as { slots?: unknown };
        if (typeof slots !== 'number') throw new TypeError('the metadata of a worker must have slots');
        return { slots };
      },
      onFailed,
    });
    this.#election = new LeaderElection(zk, {
      path: join(options.path, 'master'),
      id,
      listener: {
        elected: () => this.#begin(),
        resumed: () => this.#begin(),
        deposed: () => this.#end(),
        failed: onFailed,
      },
    });
  }

  get leads(): boolean {
    return this.#election.leads;
  }

  /** The lease, while this master leads or is suspended. */
  get lease(): Lease | undefined {
    return this.#election.lease;
  }

  protected override onStart(): void {
    this.#group.start();
    this.#group.onChange(() => this.#wake());
    this.#group.ready().catch((error: unknown) => {
      if (!this.closing.aborted) this.#options.onFailed(error);
    });
    this.#election.start();
  }

  protected override async onClose(): Promise<void> {
    await this.#election.close();
    await Promise.all([this.#group.close(), this.#watch?.close()]);
    await this.#working;
  }

  /** Forgets what was known before a break or before this term: it proves nothing. */
  #begin(): void {
    this.#working = this.#working.then(() => this.#known.clear());
    if (this.#watch === undefined) {
      this.#watch = this.zk.watchChildren(this.#nodes.tasks);
      this.#watch.subscribe(() => this.#wake());
    }
    this.#wake();
  }

  #end(): void {
    void this.#watch?.close();
    this.#watch = undefined;
  }

  /** Schedules one more look, however much happens while the master works. */
  #wake(): void {
    if (this.#woken) return;
    this.#woken = true;
    this.#working = this.#working.then(async () => {
      this.#woken = false;
      await this.#work();
    });
  }

  /** Never rejects. */
  async #work(): Promise<void> {
    while (!this.closing.aborted && this.#election.leads) {
      const { lease } = this.#election;
      if (lease === undefined || !this.#group.fresh) return;
      try {
        await this.#read();
        const workers = this.#group.members.map(({ id, metadata }) => ({ name: id, ...metadata }));
        const steps = planTasks([...this.#known.values()], workers, this.#options.attemptsMax);
        for (const step of steps) await this.#carryOut(lease, step);
        await this.#tidy(lease, new Set(workers.map(({ name }) => name)));
        return;
      } catch (error) {
        this.#known.clear();
        // Deposed, or a worker has finished or gone meanwhile: look again.
        if (hasCode(error, 'zookeeper.no_node', 'zookeeper.bad_version', 'zookeeper.node_exists')) continue;
        // After a break the lease is confirmed first; then `resumed` or `elected` calls this again.
        if (!isRetriable(error)) {
          if (!this.closing.aborted) this.#options.onFailed(error);
          return;
        }
        await this.zk.whenConnected({ signal: this.closing }).catch(() => undefined);
      }
    }
  }

  /** Reads only new tasks: every other change was made by this master, or removed the task. */
  async #read(): Promise<void> {
    const names = new Set(await this.#nodes.children(this.#nodes.tasks));
    for (const id of [...this.#known.keys()]) if (!names.has(id)) this.#known.delete(id);
    const fresh = [...names].filter((id) => !this.#known.has(id));
    for (const task of await Promise.all(fresh.map(async (id) => this.#nodes.task(id)))) {
      if (task !== undefined) this.#known.set(task.id, task);
    }
  }

  async #carryOut(lease: Lease, step: TaskStep): Promise<void> {
    const { task } = step;
    if (step.type === 'give') {
      this.#known.set(task.id, await this.#nodes.give(lease, task, step.worker));
      return;
    }
    await this.#nodes.giveUp(
      lease,
      task,
      `given up after ${task.document.attempts} workers died while they had it`,
    );
    this.#known.delete(task.id);
  }

  async #tidy(lease: Lease, alive: ReadonlySet<string>): Promise<void> {
    const folders = await this.#nodes.children(this.#nodes.assigned);
    for (const worker of folders) if (!alive.has(worker)) await this.#nodes.removeFolder(lease, worker);
    const { resultsKeptMax } = this.#options;
    const { results } = this.#nodes;
    const count = (await this.zk.exists(results))?.children ?? 0;
    if (count <= resultsKeptMax * resultsSlack) return;
    const names = await this.#nodes.children(results);
    const stats = await Promise.all(
      names.map(async (name) => ({ name, czxid: (await this.zk.exists(join(results, name)))?.czxid ?? 0n })),
    );
    const oldestFirst = stats.toSorted((left, right) => (left.czxid < right.czxid ? -1 : 1));
    for (const { name } of oldestFirst.slice(0, -resultsKeptMax)) await this.zk.delete(join(results, name));
  }
}
