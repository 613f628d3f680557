/**
 * A whole group of nodes in one process and one thread: links that break in one direction first, messages that are late,
 * processes that die, pause and come back, a database that some cannot reach. The same seed gives the same run.
 */
import assert from 'node:assert/strict';
import { step as realStep } from '../bully.ts';
import { Fence } from './fence.ts';
import { seededRandom, Timeline } from './timeline.ts';
import type {
  ClaimResult,
  Effect,
  ElectionEvent,
  ElectionLimits,
  NodeId,
  NodeState,
  PeerMessage,
} from '../types.ts';
import { initialState } from '../views.ts';

/** Short, and in the proportions of real ones. */
export const simulationLimits: ElectionLimits = {
  settleMs: 150,
  electionTimeoutMs: 60,
  coordinatorTimeoutMs: 300,
  claimRetryMs: 40,
  preemptHoldMs: 600,
  handoverTimeoutMs: 500,
  releaseTimeoutMs: 200,
  yieldHoldMs: 300,
  statusIntervalMs: 200,
};
const leaseMs = 200;
const renewMs = 50;
const probeMsMax = 100;
const silenceMs = { min: 100, max: 150 };

export interface WorldOptions {
  nodes: number;
  seed: number;
  /** Late, lost, doubled, overtaking and stale messages; lost answers of the fence; releases that take too long. */
  rough: boolean;
  step?: typeof realStep;
}

interface Machine {
  state: NodeState;
  /** Grows with every start: what was meant for an earlier life is dropped. */
  life: number;
  alive: boolean;
  paused: boolean;
  reachesDatabase: boolean;
  missed: (() => void)[];
  timers: Map<string, symbol>;
}

export class World {
  readonly fence = new Fence(leaseMs);
  readonly ids: NodeId[];
  readonly #time = new Timeline();
  readonly #random: () => number;
  #rough: boolean;
  readonly #step: typeof realStep;
  readonly #machines = new Map<NodeId, Machine>();
  /** Per direction "from>to": is it cut; when may the next message arrive; which link does `from` believe to be up. */
  readonly #cut = new Set<string>();
  readonly #arrival = new Map<string, number>();
  readonly #view = new Map<string, number>();
  /** What was said before: in a rough world some of it is heard again. */
  readonly #said = new Map<string, PeerMessage[]>();
  #links = 0;

  constructor(options: WorldOptions) {
    this.ids = Array.from({ length: options.nodes }, (_, index) => index + 1);
    this.#random = seededRandom(options.seed);
    this.#rough = options.rough;
    this.#step = options.step ?? realStep;
    for (const id of this.ids) {
      const state = initialState(
        id,
        this.ids.filter((other) => other !== id),
        simulationLimits,
      );
      const machine = { life: 0, alive: false, paused: false, reachesDatabase: true };
      this.#machines.set(id, { ...machine, state, missed: [], timers: new Map() });
      this.restart(id);
    }
  }

  run(durationMs: number): void {
    this.#time.run(durationMs);
  }

  state(id: NodeId): NodeState {
    return this.#machine(id).state;
  }

  // ── What can be done to it ────────────────────────────────────────────────────────────────────────────────────────────

  crash(id: NodeId): void {
    const machine = this.#machine(id);
    if (!machine.alive) return;
    Object.assign(machine, { alive: false, paused: false, missed: [], life: machine.life + 1 });
    machine.timers.clear();
    for (const other of this.#others(id)) {
      this.#view.delete(`${id}>${other}`);
      this.#breakLink(other, id, this.#between(1, 5));
    }
  }

  restart(id: NodeId): void {
    const machine = this.#machine(id);
    if (machine.alive) return;
    machine.alive = true;
    machine.state = initialState(id, this.#others(id), simulationLimits);
    this.#deliver(id, { type: 'start', fit: false });
    this.#every(id, probeMsMax, () => {
      this.#feed(id, { type: 'fitnessChanged', fit: machine.reachesDatabase });
    });
    this.#every(id, renewMs, () => {
      this.#renew(id);
    });
    for (const other of this.#others(id)) this.#dial(id, other);
  }

  pause(id: NodeId): void {
    const machine = this.#machine(id);
    if (!machine.alive || machine.paused) return;
    machine.paused = true;
    for (const other of this.#others(id)) {
      this.#time.after(this.#silence(), () => {
        if (machine.paused) this.#drop(other, id);
      });
    }
  }

  resume(id: NodeId): void {
    const machine = this.#machine(id);
    if (!machine.paused) return;
    machine.paused = false;
    for (const happen of machine.missed.splice(0)) happen();
    for (const other of this.#others(id)) this.#dial(id, other);
  }

  /** From now on nothing from `from` reaches `to`; both ends notice the silence, each in its own time. */
  cut(from: NodeId, to: NodeId): void {
    this.#cut.add(`${from}>${to}`);
    this.#breakLink(to, from, this.#silence());
    this.#breakLink(from, to, this.#silence());
  }

  cutDatabase(id: NodeId): void {
    this.#machine(id).reachesDatabase = false;
  }

  /** All links and databases work again; what is paused resumes; what is dead stays dead. */
  heal(): void {
    this.#cut.clear();
    for (const id of this.ids) {
      this.#machine(id).reachesDatabase = true;
      this.resume(id);
    }
    for (const [a, b] of this.#pairs()) this.#dial(a, b);
  }

  /** The end of all trouble: everything heals, every node is up, and messages behave from now on. */
  calm(): void {
    this.#rough = false;
    this.heal();
    for (const id of this.ids) this.restart(id);
  }

  /** Exactly one coordinator, the highest fit node, of the current epoch, and all others follow it. */
  assertConverged(): void {
    const alive = this.ids.filter((id) => this.#machine(id).alive);
    const best = alive.at(-1);
    const phases = alive.map(
      (id) => `${id}: ${JSON.stringify(this.state(id).phase)} epoch ${this.state(id).epoch}`,
    );
    for (const id of alive) {
      const { phase, epoch } = this.state(id);
      const right =
        id === best ? phase.name === 'leading' : phase.name === 'following' && phase.coordinator === best;
      assert.ok(
        right && epoch === this.fence.epoch,
        `no agreement on ${best} in epoch ${this.fence.epoch}: ${phases.join('; ')}`,
      );
    }
  }

  /** If anybody reaches the database, then exactly one node drains: it leads the current epoch, and reaches it. */
  assertOneDrains(): void {
    const able = this.ids.filter((id) => this.#machine(id).alive && this.#machine(id).reachesDatabase);
    const draining = able.filter((id) => {
      const { phase } = this.state(id);
      return phase.name === 'leading' && phase.epoch === this.fence.epoch;
    });
    assert.equal(
      draining.length,
      Math.min(able.length, 1),
      `${draining.length} of nodes ${able.join(' ')} drain`,
    );
  }

  // ── How it works ──────────────────────────────────────────────────────────────────────────────────────────────────────

  #feed(id: NodeId, event: ElectionEvent): void {
    const machine = this.#machine(id);
    const { epoch } = machine.state;
    const [after, effects] = this.#step(machine.state, event);
    machine.state = after;
    assert.ok(after.epoch >= epoch, `${id} knew of epoch ${epoch} and goes back to ${after.epoch}`);
    for (const effect of effects) this.#carryOut(id, effect);
    this.#assertSafe();
  }

  /** To this life of the node, when it runs. */
  #deliver(id: NodeId, event: ElectionEvent, delayMs = 0): void {
    this.#later(id, delayMs, () => {
      this.#feed(id, event);
    });
  }

  #later(id: NodeId, delayMs: number, happen: () => void): void {
    const machine = this.#machine(id);
    const { life } = machine;
    this.#time.after(delayMs, () => {
      if (machine.life !== life) return;
      if (machine.paused) machine.missed.push(happen);
      else happen();
    });
  }

  #every(id: NodeId, periodMsMax: number, happen: () => void): void {
    this.#later(id, this.#between(periodMsMax / 2, periodMsMax), () => {
      happen();
      this.#every(id, periodMsMax, happen);
    });
  }

  #carryOut(id: NodeId, effect: Effect): void {
    const { timers, state } = this.#machine(id);
    switch (effect.type) {
      case 'send':
        return this.#send(id, effect.to, effect.message);
      case 'setTimer': {
        const mark = Symbol(effect.timer);
        timers.set(effect.timer, mark);
        return this.#later(id, effect.delayMs, () => {
          if (timers.get(effect.timer) === mark) this.#feed(id, { type: 'timer', timer: effect.timer });
        });
      }
      case 'clearTimer':
        timers.delete(effect.timer);
        return;
      case 'claim':
        assert.ok(state.fit, `unfit node ${id} claims`);
        return this.#claim(id);
      case 'release':
        return this.#release(id, effect.epoch);
      default:
    }
  }

  #send(from: NodeId, to: NodeId, message: PeerMessage): void {
    const said = this.#said.get(`${from}>${to}`) ?? [];
    this.#said.set(`${from}>${to}`, [...said.slice(-200), message]);
    const old = said[this.#between(0, said.length)];
    if (this.#rough && old !== undefined && this.#chance(0.02)) this.#post(from, to, old);
    if (message.type === 'coordinator') {
      assert.equal(
        this.fence.grantedTo.get(message.epoch),
        from,
        `${from} announces an epoch that is not its own`,
      );
      assert.equal(
        message.epoch,
        this.state(from).epoch,
        `${from} announces an epoch that it knows to be over`,
      );
    }
    this.#post(from, to, message);
  }

  #post(from: NodeId, to: NodeId, message: PeerMessage): void {
    const way = `${from}>${to}`;
    const link = this.#view.get(way);
    const copies = this.#rough ? (this.#chance(0.02) ? 0 : this.#chance(0.03) ? 2 : 1) : 1;
    for (let copy = 0; copy < copies; copy++) {
      const lateMs = this.#rough ? (this.#chance(0.05) ? 500 : 30) : 5;
      let arrivesAt = this.#time.now + this.#between(1, lateMs);
      if (!this.#rough) arrivesAt = Math.max(arrivesAt, this.#arrival.get(way) ?? 0);
      this.#arrival.set(way, arrivesAt);
      this.#later(to, arrivesAt - this.#time.now, () => {
        if (this.#cut.has(way) || link === undefined || this.#view.get(`${to}>${from}`) !== link) return;
        this.#feed(to, { type: 'message', from, message });
      });
    }
  }

  #claim(id: NodeId): void {
    this.#time.after(this.#between(1, 20), () => {
      const machine = this.#machine(id);
      // The claim was on its way when the node died or paused: the database takes it all the same.
      const result: ClaimResult = machine.reachesDatabase
        ? this.fence.claim(id, this.#time.now)
        : { outcome: 'failed' };
      const answered = result.outcome !== 'failed' && !(this.#rough && this.#chance(0.05));
      if (!answered) this.#deliver(id, { type: 'claimFailed' }, 50);
      else if (result.outcome === 'won')
        this.#deliver(id, { type: 'claimWon', epoch: result.epoch }, this.#between(1, 20));
      else
        this.#deliver(
          id,
          { type: 'claimHeld', holder: result.holder, epoch: result.epoch },
          this.#between(1, 20),
        );
    });
  }

  #release(id: NodeId, epoch: number): void {
    this.#later(id, this.#between(1, this.#rough && this.#chance(0.2) ? 400 : 50), () => {
      if (this.#machine(id).reachesDatabase) this.fence.release(epoch);
      this.#feed(id, { type: 'released', epoch });
    });
  }

  #renew(id: NodeId): void {
    const { state, reachesDatabase } = this.#machine(id);
    if (!reachesDatabase || (state.phase.name !== 'leading' && state.phase.name !== 'releasing')) return;
    const successor = this.fence.renew(state.phase.epoch, this.#time.now);
    if (successor !== undefined) this.#feed(id, { type: 'deposed', ...successor });
  }

  /** `at` will notice that its link to `peer` is broken. */
  #breakLink(at: NodeId, peer: NodeId, delayMs: number): void {
    const link = this.#view.get(`${at}>${peer}`);
    this.#time.after(delayMs, () => {
      if (link !== undefined && this.#view.get(`${at}>${peer}`) === link) this.#drop(at, peer);
    });
  }

  #drop(at: NodeId, peer: NodeId): void {
    if (!this.#view.delete(`${at}>${peer}`)) return;
    this.#deliver(at, { type: 'peerDown', peer });
    // The other end sees the close, unless that is cut off too: then it is silence that tells.
    this.#breakLink(peer, at, this.#cut.has(`${at}>${peer}`) ? this.#silence() : this.#between(1, 5));
    this.#dial(at, peer);
  }

  #dial(a: NodeId, b: NodeId): void {
    this.#time.after(this.#between(5, 60), () => {
      const [one, two] = [this.#machine(a), this.#machine(b)];
      const works = one.alive && two.alive && !this.#cut.has(`${a}>${b}`) && !this.#cut.has(`${b}>${a}`);
      if (!works || one.paused || two.paused || (this.#view.has(`${a}>${b}`) && this.#view.has(`${b}>${a}`)))
        return;
      // One end still believes in the old link: it is replaced.
      for (const [at, peer] of [
        [a, b],
        [b, a],
      ] as const) {
        if (this.#view.delete(`${at}>${peer}`)) this.#deliver(at, { type: 'peerDown', peer });
      }
      this.#links += 1;
      this.#view.set(`${a}>${b}`, this.#links).set(`${b}>${a}`, this.#links);
      this.#deliver(a, { type: 'peerUp', peer: b });
      this.#deliver(b, { type: 'peerUp', peer: a });
    });
  }

  /** I2's side of the election: a node leads only an epoch that the fence gave to it, so at most one leads the current one. */
  #assertSafe(): void {
    let current = 0;
    for (const id of this.ids) {
      const { alive, state } = this.#machine(id);
      if (!alive || (state.phase.name !== 'leading' && state.phase.name !== 'releasing')) continue;
      assert.equal(
        this.fence.grantedTo.get(state.phase.epoch),
        id,
        `${id} leads epoch ${state.phase.epoch}, which is not its own`,
      );
      assert.equal(
        state.phase.epoch,
        state.epoch,
        `${id} leads epoch ${state.phase.epoch} and knows of ${state.epoch}`,
      );
      if (state.phase.epoch === this.fence.epoch) current += 1;
    }
    assert.ok(current <= 1, `${current} nodes lead epoch ${this.fence.epoch}`);
  }

  #machine(id: NodeId): Machine {
    const machine = this.#machines.get(id);
    assert.ok(machine, `no node ${id}`);
    return machine;
  }

  #others(id: NodeId): NodeId[] {
    return this.ids.filter((other) => other !== id);
  }

  #pairs(): [NodeId, NodeId][] {
    return this.ids.flatMap((a) => this.ids.filter((b) => b > a).map((b): [NodeId, NodeId] => [a, b]));
  }

  #silence(): number {
    return this.#between(silenceMs.min, silenceMs.max);
  }

  #between(min: number, max: number): number {
    return min + Math.floor(this.#random() * (max - min + 1));
  }

  #chance(ratio: number): boolean {
    return this.#random() < ratio;
  }
}
