/** A queue and a board in memory: the {@link LeaderSource} of tests. Everything is told in microtasks, in order. */
import type { GroupWord, LeaderSource, LeaderSourceHandlers } from '../leader-source.ts';
import type { Epoch, NodeId } from '../types.ts';

export class MemoryQueue {
  readonly #members = new Map<NodeId, MemorySource>();
  #queue: NodeId[] = [];
  readonly #words = new Map<NodeId, GroupWord>();
  readonly #cut = new Set<NodeId>();
  #givenBack: Epoch = 0;

  /** Asked again for the same id, the source of that node's next life. */
  source(id: NodeId): LeaderSource {
    return new MemorySource(this, id);
  }

  /** The node cannot reach the service, which waits: its session goes on. */
  suspend(id: NodeId): void {
    this.#cut.add(id);
    this.settle();
  }

  /** The node cannot reach the service, and its session ends. */
  cut(id: NodeId): void {
    this.suspend(id);
    this.#queue = this.#queue.filter((each) => each !== id);
    this.#words.delete(id);
    this.settle();
  }

  heal(id: NodeId): void {
    this.#cut.delete(id);
    this.#members.get(id)?.rejoin();
    this.settle();
  }

  /** Who stands, the first one first. */
  get standing(): readonly NodeId[] {
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
    this.#words.delete(id);
    this.settle();
  }

  place(id: NodeId, wanted: boolean, anew: boolean): void {
    if (this.#cut.has(id)) return;
    if (!wanted || anew) this.#queue = this.#queue.filter((each) => each !== id);
    if (wanted && !this.#queue.includes(id)) this.#queue.push(id);
    this.settle();
  }

  write(id: NodeId, word: GroupWord): void {
    if (this.#cut.has(id)) return;
    this.#words.set(id, word);
    this.settle();
  }

  giveBack(id: NodeId, epoch: Epoch): void {
    if (this.#cut.has(id)) return;
    this.#givenBack = epoch;
    this.settle();
  }

  /** Tells everybody what is so now: whoever is first no longer before whoever is first now. */
  settle(): void {
    const isFirst = (id: NodeId) => this.#queue[0] === id && !this.#cut.has(id);
    for (const [id, member] of this.#members) if (!isFirst(id)) member.tellFirst(false);
    for (const [id, member] of this.#members) {
      const others = [...this.#words].filter(([other]) => other !== id);
      const reachable = !this.#cut.has(id);
      member.tellReachable(reachable);
      // Through an outage what was known stays, until the session is over.
      if (reachable || !this.#words.has(id)) member.tellGroup(reachable ? Object.fromEntries(others) : {});
      if (reachable) member.tellGivenBack(this.#givenBack);
      if (isFirst(id)) member.tellFirst(true);
    }
  }
}

class MemorySource implements LeaderSource {
  readonly #shared: MemoryQueue;
  readonly #id: NodeId;
  #handlers: LeaderSourceHandlers | undefined;
  #wantsToStand = false;
  #word: GroupWord | undefined;
  #first = false;
  #reachable: boolean | undefined;
  #group = '{}';
  #givenBack: Epoch = 0;

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

  stand(standing: boolean): void {
    this.#wantsToStand = standing;
    if (!standing) this.#first = false;
    if (this.#handlers !== undefined) this.#shared.place(this.#id, standing, false);
  }

  requeue(): void {
    this.#first = false;
    if (this.#handlers !== undefined) this.#shared.place(this.#id, this.#wantsToStand, true);
  }

  say(word: GroupWord): void {
    this.#word = word;
    if (this.#handlers !== undefined) this.#shared.write(this.#id, word);
  }

  giveBack(epoch: Epoch): void {
    if (this.#handlers !== undefined) this.#shared.giveBack(this.#id, epoch);
  }

  /** What a new session brings back. */
  rejoin(): void {
    if (this.#word !== undefined) this.#shared.write(this.#id, this.#word);
    if (this.#wantsToStand) this.#shared.place(this.#id, true, false);
  }

  tellFirst(first: boolean): void {
    if (this.#first === first) return;
    this.#first = first;
    this.#tell((handlers) => {
      // A node that has left the queue since then is told nothing.
      if (this.#first === first) handlers.onFirst(first);
    });
  }

  tellGroup(others: Record<NodeId, GroupWord>): void {
    const group = JSON.stringify(others);
    if (group === this.#group) return;
    this.#group = group;
    this.#tell((handlers) => {
      handlers.onGroup(others);
    });
  }

  tellGivenBack(epoch: Epoch): void {
    if (this.#givenBack === epoch) return;
    this.#givenBack = epoch;
    this.#tell((handlers) => {
      handlers.onGivenBack(epoch);
    });
  }

  tellReachable(reachable: boolean): void {
    if (this.#reachable === reachable) return;
    this.#reachable = reachable;
    this.#tell((handlers) => {
      handlers.onReachable(reachable, reachable ? 'connected' : 'cut off');
    });
  }

  #tell(call: (handlers: LeaderSourceHandlers) => void): void {
    queueMicrotask(() => {
      if (this.#handlers !== undefined) call(this.#handlers);
    });
  }
}
