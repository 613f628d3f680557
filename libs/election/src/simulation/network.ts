/**
 * The links between the nodes of a simulation: they break in one direction first, each end notices
 * it after its own delay, and in a rough world messages are late, lost, doubled, reordered and
 * stale.
 */
import type { ElectionEvent, NodeId, PeerMessage } from '../types.ts';
import type { Dice, Timeline } from './timeline.ts';

const silenceMs = { min: 100, max: 150 };
/** How many earlier messages of a direction may arrive again. */
const saidMax = 200;

/** What the network needs of the world around it. */
export interface NetworkOptions {
  time: Timeline;
  dice: Dice;
  isRough: () => boolean;
  isAlive: (id: NodeId) => boolean;
  isPaused: (id: NodeId) => boolean;
  /** Lets something happen to this life of a node, once the node is not paused. */
  later: (id: NodeId, delayMs: number, happen: () => void) => void;
  /** Delivers an event as soon as the node is not paused. */
  deliver: (id: NodeId, event: ElectionEvent) => void;
  /** Hands an event to a node that runs now. */
  receive: (id: NodeId, event: ElectionEvent) => void;
}

/** All links; every node is linked to every other one. */
export class Network {
  readonly #options: NetworkOptions;
  readonly #time: Timeline;
  readonly #dice: Dice;
  /**
   * State of each direction "from>to": whether it is cut, when its next message may arrive, and
   * which link `from` believes to be up.
   */
  readonly #cut = new Set<string>();
  readonly #arrival = new Map<string, number>();
  readonly #view = new Map<string, number>();
  /** Earlier messages of each direction: in a rough world some of them arrive again. */
  readonly #said = new Map<string, PeerMessage[]>();
  #links = 0;

  constructor(options: NetworkOptions) {
    this.#options = options;
    this.#time = options.time;
    this.#dice = options.dice;
  }

  // ── Faults

  /** The node `id` has died: it forgets its link to `other`, and `other` sees the link close. */
  forget(id: NodeId, other: NodeId): void {
    this.#view.delete(`${id}>${other}`);
    this.#breakLink(other, id, this.#dice.between(1, 5));
  }

  /** Lets `at` drop its link to `peer` after a silence, if `peer` is still silent then. */
  dropAfterSilence(at: NodeId, peer: NodeId, isSilent: () => boolean): void {
    this.#time.after(this.#silence(), () => {
      if (isSilent()) this.#drop(at, peer);
    });
  }

  /** Stops all messages from `from` to `to`. */
  cut(from: NodeId, to: NodeId): void {
    this.#cut.add(`${from}>${to}`);
    this.#breakLink(to, from, this.#silence());
    this.#breakLink(from, to, this.#silence());
  }

  /** Lets messages pass in all directions again; the links must be dialled. */
  heal(): void {
    this.#cut.clear();
  }

  // ── Messages

  /**
   * Records a message, and in a rough world sometimes sends an earlier one of the direction again.
   */
  repeatEarlier(from: NodeId, to: NodeId, message: PeerMessage): void {
    const said = this.#said.get(`${from}>${to}`) ?? [];
    this.#said.set(`${from}>${to}`, [...said.slice(-saidMax), message]);
    const old = said[this.#dice.between(0, said.length)];
    if (this.#options.isRough() && old !== undefined && this.#dice.chance(0.02)) this.post(from, to, old);
  }

  post(from: NodeId, to: NodeId, message: PeerMessage): void {
    const way = `${from}>${to}`;
    const link = this.#view.get(way);
    const isRough = this.#options.isRough();
    const copies = isRough ? (this.#dice.chance(0.02) ? 0 : this.#dice.chance(0.03) ? 2 : 1) : 1;
    for (let copy = 0; copy < copies; copy++) {
      const lateMs = isRough ? (this.#dice.chance(0.05) ? 500 : 30) : 5;
      let arrivesAt = this.#time.now + this.#dice.between(1, lateMs);
      if (!isRough) arrivesAt = Math.max(arrivesAt, this.#arrival.get(way) ?? 0);
      this.#arrival.set(way, arrivesAt);
      this.#options.later(to, arrivesAt - this.#time.now, () => {
        if (this.#cut.has(way) || link === undefined || this.#view.get(`${to}>${from}`) !== link) return;
        this.#options.receive(to, { type: 'message', from, message });
      });
    }
  }

  // ── Links

  /** Makes a link between two nodes after a while, if both can be reached then. */
  dial(a: NodeId, b: NodeId): void {
    this.#time.after(this.#dice.between(5, 60), () => {
      const isReachable = (id: NodeId) => this.#options.isAlive(id) && !this.#options.isPaused(id);
      const isCut = this.#cut.has(`${a}>${b}`) || this.#cut.has(`${b}>${a}`);
      const isUp = this.#view.has(`${a}>${b}`) && this.#view.has(`${b}>${a}`);
      if (!isReachable(a) || !isReachable(b) || isCut || isUp) return;
      // One end still believes the old link to be up: the new one replaces it.
      for (const [at, peer] of [
        [a, b],
        [b, a],
      ] as const) {
        if (this.#view.delete(`${at}>${peer}`)) this.#options.deliver(at, { type: 'peerDown', peer });
      }
      this.#links += 1;
      this.#view.set(`${a}>${b}`, this.#links).set(`${b}>${a}`, this.#links);
      this.#options.deliver(a, { type: 'peerUp', peer: b });
      this.#options.deliver(b, { type: 'peerUp', peer: a });
    });
  }

  /** Lets `at` notice after `delayMs` that its link to `peer` is broken. */
  #breakLink(at: NodeId, peer: NodeId, delayMs: number): void {
    const link = this.#view.get(`${at}>${peer}`);
    this.#time.after(delayMs, () => {
      if (link !== undefined && this.#view.get(`${at}>${peer}`) === link) this.#drop(at, peer);
    });
  }

  #drop(at: NodeId, peer: NodeId): void {
    if (!this.#view.delete(`${at}>${peer}`)) return;
    this.#options.deliver(at, { type: 'peerDown', peer });
    // The other end sees the link close. If its direction is cut too, it notices the silence
    // instead.
    this.#breakLink(peer, at, this.#cut.has(`${at}>${peer}`) ? this.#silence() : this.#dice.between(1, 5));
    this.dial(at, peer);
  }

  #silence(): number {
    return this.#dice.between(silenceMs.min, silenceMs.max);
  }
}
