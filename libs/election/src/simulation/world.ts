/**
 * A whole group of nodes in one process and one thread: links that break in one direction first,
 * late messages, processes that die, pause and come back, a database that some nodes cannot reach.
 * The same seed gives the same run.
 */
import assert from 'node:assert/strict';
import { step as realStep } from '../bully.ts';
import { Fence } from './fence.ts';
import { Network } from './network.ts';
import { Dice, Timeline } from './timeline.ts';
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

/** Short limits, in the proportions of real ones. */
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

export interface WorldOptions {
  nodes: number;
  seed: number;
  /**
   * Whether messages may be late, lost, doubled, reordered and stale, answers of the fence lost,
   * and releases too slow.
   */
  rough: boolean;
  step?: typeof realStep;
}

interface Machine {
  state: NodeState;
  /** Grows with every start: events meant for an earlier life are dropped. */
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
  readonly #dice: Dice;
  #rough: boolean;
  readonly #step: typeof realStep;
  readonly #machines = new Map<NodeId, Machine>();
  readonly #network: Network;

  constructor(options: WorldOptions) {
    this.ids = Array.from({ length: options.nodes }, (_, index) => index + 1);
    this.#dice = new Dice(options.seed);
    this.#rough = options.rough;
    this.#step = options.step ?? realStep;
    this.#network = new Network({
      time: this.#time,
      dice: this.#dice,
      isRough: () => this.#rough,
      isAlive: (id) => this.#machine(id).alive,
      isPaused: (id) => this.#machine(id).paused,
      later: (id, delayMs, happen) => this.#later(id, delayMs, happen),
      deliver: (id, event) => this.#deliver(id, event),
      receive: (id, event) => this.#feed(id, event),
    });
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

  // ── Faults

  crash(id: NodeId): void {
    const machine = this.#machine(id);
    if (!machine.alive) return;
    Object.assign(machine, { alive: false, paused: false, missed: [], life: machine.life + 1 });
    machine.timers.clear();
    for (const other of this.#others(id)) this.#network.forget(id, other);
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
    for (const other of this.#others(id)) this.#network.dial(id, other);
  }

  pause(id: NodeId): void {
    const machine = this.#machine(id);
    if (!machine.alive || machine.paused) return;
    machine.paused = true;
    for (const other of this.#others(id)) this.#network.dropAfterSilence(other, id, () => machine.paused);
  }

  resume(id: NodeId): void {
    const machine = this.#machine(id);
    if (!machine.paused) return;
    machine.paused = false;
    for (const happen of machine.missed.splice(0)) happen();
    for (const other of this.#others(id)) this.#network.dial(id, other);
  }

  /**
   * Stops all messages from `from` to `to`. Both ends notice the silence, each after its own delay.
   */
  cut(from: NodeId, to: NodeId): void {
    this.#network.cut(from, to);
  }

  cutDatabase(id: NodeId): void {
    this.#machine(id).reachesDatabase = false;
  }

  /** Repairs all links and databases and resumes paused nodes; dead nodes stay dead. */
  heal(): void {
    this.#network.heal();
    for (const id of this.ids) {
      this.#machine(id).reachesDatabase = true;
      this.resume(id);
    }
    for (const [a, b] of this.#pairs()) this.#network.dial(a, b);
  }

  /** Ends all faults: everything heals, every node is up, and messages behave from now on. */
  calm(): void {
    this.#rough = false;
    this.heal();
    for (const id of this.ids) this.restart(id);
  }

  /** Asserts that the highest live node coordinates the current epoch and all others follow it. */
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

  /**
   * Asserts that, if any node reaches the database, exactly one node drains: it leads the current
   * epoch and reaches the database.
   */
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

  // ── Inside

  #feed(id: NodeId, event: ElectionEvent): void {
    const machine = this.#machine(id);
    const { epoch } = machine.state;
    const [after, effects] = this.#step(machine.state, event);
    machine.state = after;
    assert.ok(after.epoch >= epoch, `${id} knew of epoch ${epoch} and goes back to ${after.epoch}`);
    for (const effect of effects) this.#carryOut(id, effect);
    this.#assertSafe();
  }

  /** Delivers the event to this life of the node, once the node is not paused. */
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
    this.#later(id, this.#dice.between(periodMsMax / 2, periodMsMax), () => {
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
    this.#network.repeatEarlier(from, to, message);
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
    this.#network.post(from, to, message);
  }

  #claim(id: NodeId): void {
    this.#time.after(this.#dice.between(1, 20), () => {
      const machine = this.#machine(id);
      // The claim may have left before the node died or paused: the database handles it
      // nevertheless.
      const result: ClaimResult = machine.reachesDatabase
        ? this.fence.claim(id, this.#time.now)
        : { outcome: 'failed' };
      const answered = result.outcome !== 'failed' && !(this.#rough && this.#dice.chance(0.05));
      if (!answered) this.#deliver(id, { type: 'claimFailed' }, 50);
      else if (result.outcome === 'won')
        this.#deliver(id, { type: 'claimWon', epoch: result.epoch }, this.#dice.between(1, 20));
      else
        this.#deliver(
          id,
          { type: 'claimHeld', holder: result.holder, epoch: result.epoch },
          this.#dice.between(1, 20),
        );
    });
  }

  #release(id: NodeId, epoch: number): void {
    this.#later(id, this.#dice.between(1, this.#rough && this.#dice.chance(0.2) ? 400 : 50), () => {
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

  /**
   * The election's part of I2: a node leads only an epoch that the fence granted it, so at most one
   * node leads the current epoch.
   */
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
}
