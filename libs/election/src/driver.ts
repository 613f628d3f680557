/** Runs a pure strategy: feeds it one event at a time and carries out its effects. */
import type { Election, ElectionHost, ElectionSnapshot } from './election.ts';
import type { Scheduler } from './transport.ts';
import type { ClaimCause, Epoch, HostEffect, HostEvent, NodeId, Phase, TimerName } from './types.ts';
import { roleOf } from './views.ts';

/** The part of a strategy's state that the driver reads. */
interface DrivenState {
  readonly id: NodeId;
  epoch: Epoch;
  fit: boolean;
  phase: Phase;
}

/**
 * A strategy: its pure step, and what it needs besides the host and the clock. `V` are its own
 * events, `X` its own effects.
 */
export interface Strategy<S extends DrivenState, V, X> {
  initial: S;
  step(state: S, event: HostEvent | V): [S, (HostEffect | X)[]];
  /** Starts the source of this strategy's own events. */
  open(dispatch: (event: V) => void): Promise<void>;
  close(): Promise<void>;
  /** Carries out one of the strategy's own effects. */
  carryOut(effect: X): void;
  peers(state: S): ElectionSnapshot['peers'];
}

export class DrivenElection<S extends DrivenState, V, X extends { type: string }> implements Election {
  readonly #strategy: Strategy<S, V, X>;
  readonly #host: ElectionHost;
  readonly #scheduler: Scheduler;
  #state: S;
  #fit = false;
  readonly #queue: (HostEvent | V)[] = [];
  #busy = false;
  readonly #cancelTimer = new Map<TimerName, () => void>();
  readonly #won: Record<ClaimCause, number> = { first: 0, failover: 0, preempt: 0, yield: 0 };
  readonly #ended = Promise.withResolvers<undefined>();
  #stopped: Promise<void> | undefined;

  constructor(strategy: Strategy<S, V, X>, host: ElectionHost, scheduler: Scheduler) {
    this.#strategy = strategy;
    this.#host = host;
    this.#scheduler = scheduler;
    this.#state = strategy.initial;
  }

  async start(): Promise<void> {
    this.#dispatch({ type: 'start', fit: this.#fit });
    await this.#strategy.open((event) => this.#dispatch(event));
  }

  stop(): Promise<void> {
    return (this.#stopped ??= this.#stop());
  }

  setFit(fit: boolean): void {
    this.#fit = fit;
    this.#dispatch({ type: 'fitnessChanged', fit });
  }

  deposed(by: { holder: NodeId | null; epoch: Epoch }): void {
    this.#dispatch({ type: 'deposed', ...by });
  }

  snapshot(): ElectionSnapshot {
    const { id, epoch, fit } = this.#state;
    const role = roleOf(this.#state);
    const node = role.role === 'follower' ? role.coordinator : id;
    return {
      nodeId: id,
      role: role.role,
      coordinator: 'epoch' in role ? { node, epoch: role.epoch } : null,
      epoch,
      fit,
      peers: this.#strategy.peers(this.#state),
      won: { ...this.#won },
    };
  }

  async #stop(): Promise<void> {
    const hasStarted = this.#state.phase.name !== 'stopped';
    this.#dispatch({ type: 'stop' });
    if (hasStarted) await this.#ended.promise;
    await this.#strategy.close();
  }

  /**
   * Events that arise while effects are carried out are queued: a step never runs inside another
   * step.
   */
  #dispatch(event: HostEvent | V): void {
    this.#queue.push(event);
    if (this.#busy) return;
    this.#busy = true;
    try {
      for (let next = this.#queue.shift(); next !== undefined; next = this.#queue.shift()) {
        const [after, effects] = this.#strategy.step(this.#state, next);
        this.#state = after;
        for (const effect of effects) this.#carryOut(effect);
      }
    } finally {
      this.#busy = false;
    }
  }

  #carryOut(effect: HostEffect | X): void {
    if (!isHostEffect(effect)) return this.#strategy.carryOut(effect);
    switch (effect.type) {
      case 'setTimer':
        return this.#setTimer(effect.timer, effect.delayMs);
      case 'clearTimer':
        return this.#clearTimer(effect.timer);
      case 'claim':
        void this.#claim(effect.cause);
        return;
      case 'release':
        void this.#release(effect.epoch);
        return;
      case 'stepDown':
        this.#host.log?.info({
          event: 'election.stepped_down',
          epoch: effect.epoch,
          knownEpoch: this.#state.epoch,
        });
        return this.#host.stepDown(effect.epoch);
      case 'lead':
        this.#won[effect.cause] += 1;
        return this.#host.onRole(roleOf(this.#state), effect.cause);
      case 'stopped':
        this.#ended.resolve(undefined);
        return this.#host.onRole(roleOf(this.#state));
      case 'follow':
      case 'seek':
        return this.#host.onRole(roleOf(this.#state));
    }
  }

  #setTimer(timer: TimerName, delayMs: number): void {
    this.#clearTimer(timer);
    const cancel = this.#scheduler.after(delayMs, () => {
      this.#cancelTimer.delete(timer);
      this.#dispatch({ type: 'timer', timer });
    });
    this.#cancelTimer.set(timer, cancel);
  }

  #clearTimer(timer: TimerName): void {
    this.#cancelTimer.get(timer)?.();
    this.#cancelTimer.delete(timer);
  }

  async #claim(cause: ClaimCause): Promise<void> {
    const result = (await this.#attempt('claim', () => this.#host.claim(cause))) ?? { outcome: 'failed' };
    this.#host.log?.info({ event: 'election.claim', cause, ...result });
    switch (result.outcome) {
      case 'won':
        return this.#dispatch({ type: 'claimWon', epoch: result.epoch });
      case 'held':
        return this.#dispatch({ type: 'claimHeld', holder: result.holder, epoch: result.epoch });
      case 'failed':
        return this.#dispatch({ type: 'claimFailed' });
    }
  }

  async #release(epoch: Epoch): Promise<void> {
    await this.#attempt('release', () => this.#host.release(epoch));
    this.#dispatch({ type: 'released', epoch });
  }

  /**
   * A failing callback of the service must not leave the node waiting: it is logged and treated as
   * a failure.
   */
  async #attempt<T>(what: 'claim' | 'release', call: () => Promise<T>): Promise<T | undefined> {
    try {
      return await call();
    } catch (error) {
      this.#host.log?.info({
        event: what === 'claim' ? 'election.claim_failed' : 'election.release_failed',
        err: error,
      });
      return undefined;
    }
  }
}

const hostEffects: Readonly<Record<HostEffect['type'], true>> = {
  setTimer: true,
  clearTimer: true,
  claim: true,
  release: true,
  stepDown: true,
  lead: true,
  follow: true,
  seek: true,
  stopped: true,
};

function isHostEffect(effect: { type: string }): effect is HostEffect {
  return Object.hasOwn(hostEffects, effect.type);
}
