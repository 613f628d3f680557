/**
 * A queue and a board in memory: the {@link LeaderSource} of tests. Reports arrive in microtasks,
 * in order.
 */
import type { MemberStatus, LeaderSource, LeaderSourceHandlers } from '../leader-source.ts';
import type { Epoch, NodeId } from '../types.ts';

export class MemoryQueue {
  readonly #members = new Map<NodeId, MemorySource>();
  #queue: NodeId[] = [];
  readonly #statuses = new Map<NodeId, MemberStatus>();
  readonly #cut = new Set<NodeId>();
  #released: Epoch = 0;

  /**
   * Returns a source of that node. A second call for the same id returns the source of its next
   * life.
   */
  source(id: NodeId): LeaderSource {
    return new MemorySource(this, id);
  }

  /** Cuts the node off, while its session continues. */
  suspend(id: NodeId): void {
    this.#cut.add(id);
    this.settle();
  }

  /** Cuts the node off, and ends its session. */
  cut(id: NodeId): void {
    this.suspend(id);
    this.#queue = this.#queue.filter((each) => each !== id);
    this.#statuses.delete(id);
    this.settle();
  }

  heal(id: NodeId): void {
    this.#cut.delete(id);
    this.#members.get(id)?.rejoin();
    this.settle();
  }

  /** The candidates, the first one first. */
  get candidates(): readonly NodeId[] {
    return this.#queue;
  }

  join(id: NodeId, source: MemorySource): void {
    this.#members.set(id, source);
    this.settle();
  }

  leave(id: NodeId, source: MemorySource): void {
    if (this.#members.get(id) !== source) return;
    this.#members.delete(id);
    this.#queue = this.#queue.filter((each) => each !== id);
    this.#statuses.delete(id);
    this.settle();
  }

  place(id: NodeId, wanted: boolean, requeued: boolean): void {
    if (this.#cut.has(id)) return;
    if (!wanted || requeued) this.#queue = this.#queue.filter((each) => each !== id);
    if (wanted && !this.#queue.includes(id)) this.#queue.push(id);
    this.settle();
  }

  write(id: NodeId, status: MemberStatus): void {
    if (this.#cut.has(id)) return;
    this.#statuses.set(id, status);
    this.settle();
  }

  announceRelease(id: NodeId, epoch: Epoch): void {
    if (this.#cut.has(id)) return;
    this.#released = epoch;
    this.settle();
  }

  /**
   * Reports the present state to all members. Loss of the first place is reported before its gain.
   */
  settle(): void {
    const isFirst = (id: NodeId) => this.#queue[0] === id && !this.#cut.has(id);
    for (const [id, member] of this.#members) if (!isFirst(id)) member.reportFirst(false);
    for (const [id, member] of this.#members) {
      const others = [...this.#statuses].filter(([other]) => other !== id);
      const reachable = !this.#cut.has(id);
      member.reportReachable(reachable);
      // During an outage a member keeps the last known group until its session ends.
      if (reachable || !this.#statuses.has(id))
        member.reportGroup(reachable ? Object.fromEntries(others) : {});
      if (reachable) member.reportReleased(this.#released);
      if (isFirst(id)) member.reportFirst(true);
    }
  }
}

class MemorySource implements LeaderSource {
  readonly #shared: MemoryQueue;
  readonly #id: NodeId;
  #handlers: LeaderSourceHandlers | undefined;
  #candidate = false;
  #status: MemberStatus | undefined;
  #first = false;
  #reachable: boolean | undefined;
  #group = '{}';
  #released: Epoch = 0;

  constructor(shared: MemoryQueue, id: NodeId) {
    this.#shared = shared;
    this.#id = id;
  }

  async start(handlers: LeaderSourceHandlers): Promise<void> {
    this.#handlers = handlers;
    this.#shared.join(this.#id, this);
    this.rejoin();
  }

  async stop(): Promise<void> {
    this.#handlers = undefined;
    this.#shared.leave(this.#id, this);
  }

  setCandidate(candidate: boolean): void {
    this.#candidate = candidate;
    if (!candidate) this.#first = false;
    if (this.#handlers !== undefined) this.#shared.place(this.#id, candidate, false);
  }

  requeue(): void {
    this.#first = false;
    if (this.#handlers !== undefined) this.#shared.place(this.#id, this.#candidate, true);
  }

  publish(status: MemberStatus): void {
    this.#status = status;
    if (this.#handlers !== undefined) this.#shared.write(this.#id, status);
  }

  announceRelease(epoch: Epoch): void {
    if (this.#handlers !== undefined) this.#shared.announceRelease(this.#id, epoch);
  }

  /** Restores status and candidacy in a new session. */
  rejoin(): void {
    if (this.#status !== undefined) this.#shared.write(this.#id, this.#status);
    if (this.#candidate) this.#shared.place(this.#id, true, false);
  }

  reportFirst(first: boolean): void {
    if (this.#first === first) return;
    this.#first = first;
    this.#report((handlers) => {
      // A node that has left the queue since then gets no report.
      if (this.#first === first) handlers.onFirst(first);
    });
  }

  reportGroup(others: Record<NodeId, MemberStatus>): void {
    const group = JSON.stringify(others);
    if (group === this.#group) return;
    this.#group = group;
    this.#report((handlers) => {
      handlers.onGroup(others);
    });
  }

  reportReleased(epoch: Epoch): void {
    if (this.#released === epoch) return;
    this.#released = epoch;
    this.#report((handlers) => {
      handlers.onReleased(epoch);
    });
  }

  reportReachable(reachable: boolean): void {
    if (this.#reachable === reachable) return;
    this.#reachable = reachable;
    this.#report((handlers) => {
      handlers.onReachable(reachable, reachable ? 'connected' : 'cut off');
    });
  }

  #report(call: (handlers: LeaderSourceHandlers) => void): void {
    queueMicrotask(() => {
      if (this.#handlers !== undefined) call(this.#handlers);
    });
  }
}
