/** Runs the pure algorithm against the world: feeds events in, one at a time, and carries out what comes out. */
import { step } from './bully.ts';
import type { Election, ElectionHost, ElectionSnapshot } from './election.ts';
import { realScheduler, type PeerTransport, type Scheduler } from './transport.ts';
import type { ClaimCause, Effect, ElectionEvent, ElectionLimits, Epoch, NodeId } from './types.ts';
import { defaultElectionLimits, electionLimitFaults, type NodeState, type TimerName } from './types.ts';
import { initialState, roleOf } from './views.ts';

/** How {@link createBullyElection} is set up. */
export interface BullyOptions {
  nodeId: NodeId;
  /** The ids of all other nodes of the group. */
  peers: readonly NodeId[];
  transport: PeerTransport;
  host: ElectionHost;
  limits?: Partial<ElectionLimits>;
  scheduler?: Scheduler;
}

/**
 * The Bully strategy behind {@link Election}. An election that was stopped cannot be started again: make a new one.
 * @throws RangeError if the limits do not fit together, or the ids are not distinct
 */
export function createBullyElection(options: BullyOptions): Election {
  const limits = { ...defaultElectionLimits, ...options.limits };
  const faults = electionLimitFaults(limits);
  const ids = [options.nodeId, ...options.peers];
  if (new Set(ids).size !== ids.length) faults.push('node ids must be distinct');
  if (faults.length > 0) throw new RangeError(faults.join('; '));
  return new BullyElection(options, limits);
}

class BullyElection implements Election {
  readonly #host: ElectionHost;
  readonly #transport: PeerTransport;
  readonly #scheduler: Scheduler;
  #state: NodeState;
  #fit = false;
  readonly #queue: ElectionEvent[] = [];
  #busy = false;
  readonly #cancelTimer = new Map<TimerName, () => void>();
  readonly #won: Record<ClaimCause, number> = { first: 0, failover: 0, preempt: 0, yield: 0 };
  readonly #ended = Promise.withResolvers<undefined>();
  #stopped: Promise<void> | undefined;

  constructor(options: BullyOptions, limits: ElectionLimits) {
    this.#host = options.host;
    this.#transport = options.transport;
    this.#scheduler = options.scheduler ?? realScheduler;
    this.#state = initialState(options.nodeId, options.peers, limits);
  }

  async start(): Promise<void> {
    this.#dispatch({ type: 'start', fit: this.#fit });
    await this.#transport.start({
      onPeerUp: (peer) => {
        this.#host.onEvent?.('election.peer_up', { peer });
        this.#dispatch({ type: 'peerUp', peer });
      },
      onPeerDown: (peer, reason) => {
        this.#host.onEvent?.('election.peer_down', { peer, reason });
        this.#dispatch({ type: 'peerDown', peer });
      },
      onMessage: (from, message) => {
        this.#dispatch({ type: 'message', from, message });
      },
    });
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
    const { id, epoch, fit, peers } = this.#state;
    const role = roleOf(this.#state);
    const node = role.role === 'follower' ? role.coordinator : id;
    return {
      nodeId: id,
      role: role.role,
      coordinator: 'epoch' in role ? { node, epoch: role.epoch } : null,
      epoch,
      fit,
      peers: Object.entries(peers).map(([peer, view]) => ({
        nodeId: Number(peer),
        connected: view.connected,
        fit: view.fit === true,
      })),
      won: { ...this.#won },
    };
  }

  async #stop(): Promise<void> {
    const hasStarted = this.#state.phase.name !== 'stopped';
    this.#dispatch({ type: 'stop' });
    if (hasStarted) await this.#ended.promise;
    await this.#transport.stop();
  }

  /** Events that arise while effects are carried out wait their turn: a step never runs inside another. */
  #dispatch(event: ElectionEvent): void {
    this.#queue.push(event);
    if (this.#busy) return;
    this.#busy = true;
    try {
      for (let next = this.#queue.shift(); next !== undefined; next = this.#queue.shift()) {
        const [after, effects] = step(this.#state, next);
        this.#state = after;
        for (const effect of effects) this.#carryOut(effect);
      }
    } finally {
      this.#busy = false;
    }
  }

  #carryOut(effect: Effect): void {
    switch (effect.type) {
      case 'send':
        this.#transport.send(effect.to, effect.message);
        return;
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
        this.#host.onEvent?.('election.stepped_down', { epoch: effect.epoch, knownEpoch: this.#state.epoch });
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
    this.#host.onEvent?.('election.claim', { cause, ...result });
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

  /** A callback of the service that fails must not leave the node waiting for ever: reported, and answered as a failure. */
  async #attempt<T>(what: 'claim' | 'release', call: () => Promise<T>): Promise<T | undefined> {
    try {
      return await call();
    } catch (error) {
      this.#host.onEvent?.(`election.${what}_failed`, { error });
      return undefined;
    }
  }
}
