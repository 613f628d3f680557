/** Spreads partitions over the living members: each partition has one leader and one epoch. */
import { sleep } from '@thermomesh/runtime';
import { join } from '../../client/paths.ts';
import type { NodeData, Operation } from '../../client/types.ts';
import type { Watch } from '../../client/watch.ts';
import type { ZooKeeper } from '../../client/zookeeper.ts';
import { hasCode, isRetriable, ZooKeeperError } from '../../errors.ts';
import { assign, type Assignment } from './assignment.ts';
import { claim } from '../leases/claim.ts';
import { decode, encode } from '../documents.ts';
import { GroupMembership } from '../groups/group-membership.ts';
import { LeaderElection } from './leader-election.ts';
import type { Lease, LeaseEnd } from '../leases/lease.ts';
import { isEnd, Recipe } from '../recipe.ts';

/** What a member learns about the partitions that it leads. */
export interface PartitionListener {
  gained?(partition: number, lease: Lease): void;
  /**
   * Another member must lead the partition: finish the work in flight. The lease is released when
   * the promise settles, or after `handOverTimeoutMs`.
   */
  handingOver?(partition: number, lease: Lease): Promise<void>;
  lost?(partition: number, lease: Lease, end: LeaseEnd): void;
  failed?(error: unknown): void;
}

export interface PartitionOptions {
  path: string;
  /** The name of this member, unique among the living ones. */
  id: string;
  /** The number of partitions; the same for every member. */
  partitions: number;
  listener?: PartitionListener;
  /** Maximum duration of `handingOver`. Default 5 s. */
  handOverTimeoutMs?: number;
}

const handOverTimeoutDefaultMs = 5_000;

interface Work {
  stop: AbortController;
  done: Promise<void>;
}

/**
 * Members join a group and elect one of them, the assigner, which balances the partitions with as
 * few moves as possible. The assignment only says which member must lead. The actual leader is the
 * owner of the partition's own node, and the creation of that node is the epoch. So no partition
 * has two leaders and its epochs only grow, however stale a member's view is.
 */
export class PartitionLeadership extends Recipe {
  readonly id: string;
  readonly partitions: number;
  readonly #listener: PartitionListener;
  readonly #handOverTimeoutMs: number;
  readonly #group: GroupMembership<null>;
  readonly #assigner: LeaderElection;
  readonly #leases = new Map<number, Lease>();
  readonly #work = new Map<number, Work>();
  readonly #ending = new Map<number, Promise<void>>();
  #watch: Watch<NodeData | undefined> | undefined;
  #assigning: Promise<void> = Promise.resolve();

  constructor(zk: ZooKeeper, options: PartitionOptions) {
    super(zk, options.path);
    this.id = options.id;
    this.partitions = options.partitions;
    this.#listener = options.listener ?? {};
    this.#handOverTimeoutMs = options.handOverTimeoutMs ?? handOverTimeoutDefaultMs;
    const onFailed = (error: unknown) => this.#listener.failed?.(error);
    this.#group = new GroupMembership<null>(zk, {
      path: join(options.path, 'members'),
      self: { id: options.id, metadata: null },
      parse: () => null,
      onFailed,
    });
    this.#assigner = new LeaderElection(zk, {
      path: join(options.path, 'assigner'),
      id: options.id,
      listener: { elected: () => this.#reassign(), resumed: () => this.#reassign(), failed: onFailed },
    });
  }

  /** The leases that this member holds, by partition, including suspended ones. */
  get leases(): ReadonlyMap<number, Lease> {
    return this.#leases;
  }

  /** The partitions for which this member may act now. */
  get leading(): number[] {
    return [...this.#leases].filter(([, lease]) => lease.held).map(([partition]) => partition);
  }

  /** The assignment as this member knows it. */
  get assignment(): Assignment {
    return readAssignment(this.#watch?.current?.value);
  }

  protected override onStart(): void {
    this.#group.start();
    this.#assigner.start();
    this.#group.onChange(() => this.#reassign());
    this.#watch = this.zk.watchData(this.#assignmentPath);
    this.#watch.subscribe((node) => this.#follow(readAssignment(node)));
  }

  protected override async onClose(): Promise<void> {
    for (const partition of [...this.#work.keys()]) this.#stop(partition);
    await Promise.all([this.#group.close(), this.#watch?.close(), ...this.#ending.values()]);
    await this.#assigner.close();
    await this.#assigning;
  }

  get #assignmentPath(): string {
    return join(this.path, 'assignment');
  }

  #reassign(): void {
    this.#assigning = this.#assigning.then(async () => this.#assign());
  }

  /**
   * Writes a new assignment. The servers refuse it if another member has become the assigner, or
   * has assigned since the read. Never rejects.
   */
  async #assign(): Promise<void> {
    while (!this.closing.aborted && this.#assigner.leads) {
      const members = this.#group.members.map(({ id }) => id);
      const { lease } = this.#assigner;
      if (members.length === 0 || lease === undefined) return;
      try {
        const node = await this.#readAssignment();
        const previous = readAssignment(node);
        const next = assign(previous, members, this.partitions);
        const changed = next.length !== previous.length || next.some((id, index) => id !== previous[index]);
        if (!changed) return;
        const data = encode({ partitions: this.partitions, owners: next });
        const path = this.#assignmentPath;
        const write: Operation =
          node === undefined
            ? { type: 'create', path, data }
            : { type: 'set', path, data, version: node.stat.version };
        // The check fails if the seat of this assigner is gone.
        await this.zk.multi([{ type: 'check', path: lease.path, version: -1 }, write]);
        return;
      } catch (error) {
        // Deposed or overtaken: look again.
        if (hasCode(error, 'zookeeper.no_node', 'zookeeper.bad_version', 'zookeeper.node_exists')) continue;
        // After a break the lease is confirmed first; then `resumed` or `elected` calls this again.
        if (!isRetriable(error)) return this.#listener.failed?.(error);
        await this.zk.whenConnected({ signal: this.closing }).catch(() => undefined);
      }
    }
  }

  async #readAssignment(): Promise<NodeData | undefined> {
    try {
      return await this.zk.getData(this.#assignmentPath);
    } catch (error) {
      if (hasCode(error, 'zookeeper.no_node')) return undefined;
      throw error;
    }
  }

  #follow(assignment: Assignment): void {
    if (this.closing.aborted) return;
    if (assignment.length > 0 && assignment.length !== this.partitions) {
      const message = `${this.path}: ${assignment.length} partitions are assigned, not ${this.partitions}`;
      this.#listener.failed?.(new ZooKeeperError('zookeeper.misused', message, { path: this.path }));
    }
    for (let partition = 0; partition < this.partitions; partition += 1) {
      if (assignment[partition] !== this.id) this.#stop(partition);
      else if (!this.#work.has(partition)) this.#begin(partition);
    }
  }

  #begin(partition: number): void {
    const stop = new AbortController();
    // An earlier term of the same partition may still be handing over.
    const before = this.#ending.get(partition) ?? Promise.resolve();
    const done = before.then(async () => this.#lead(partition, stop.signal));
    this.#work.set(partition, { stop, done });
  }

  #stop(partition: number): void {
    const work = this.#work.get(partition);
    if (work === undefined) return;
    this.#work.delete(partition);
    const ending = work.done.finally(() => {
      if (this.#ending.get(partition) === ending) this.#ending.delete(partition);
    });
    this.#ending.set(partition, ending);
    work.stop.abort();
  }

  /** Never rejects. */
  async #lead(partition: number, signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      try {
        const path = join(this.path, `owners/${partition}`);
        const lease = await claim(this.zk, { path, content: { id: this.id }, signal });
        this.#leases.set(partition, lease);
        this.#listener.gained?.(partition, lease);
        const end =
          (await Promise.race([lease.ended, aborted(signal)])) ?? (await this.#handOver(partition, lease));
        this.#leases.delete(partition);
        this.#listener.lost?.(partition, lease, end);
      } catch (error) {
        if (!isEnd(error, signal)) this.#listener.failed?.(error);
        await this.#leases.get(partition)?.release();
        this.#leases.delete(partition);
        return;
      }
    }
  }

  async #handOver(partition: number, lease: Lease): Promise<LeaseEnd> {
    const done = new AbortController();
    const timeout = sleep(this.#handOverTimeoutMs, done.signal);
    try {
      await Promise.race([this.#listener.handingOver?.(partition, lease), timeout, lease.ended]);
    } catch (error) {
      this.#listener.failed?.(error);
    }
    done.abort();
    await lease.release();
    return lease.ended;
  }
}

async function aborted(signal: AbortSignal): Promise<undefined> {
  if (signal.aborted) return undefined;
  return new Promise((resolve) => {
    signal.addEventListener('abort', () => resolve(undefined), { once: true });
  });
}

function readAssignment(node: NodeData | undefined): Assignment {
  if (node === undefined) return [];
  const owners = (decode(node.data) as { owners?: unknown } | undefined)?.owners;
  return Array.isArray(owners) ? owners.map((id) => (typeof id === 'string' ? id : undefined)) : [];
}
