/**
 * What follows from a node's state alone, however it came about: which timers run, what the outside is told about its role,
 * and when gossip is due. The algorithm need not remember to do any of this.
 */
import type { Effect, HostEffect, NodeState, TimerName } from './types.ts';
import { timerNames } from './types.ts';
import { connectedPeers, fitPeer, isConnected, peersAbove, roleOf, statusOf } from './views.ts';

/** As much of a node's state, of any strategy, as its role follows from. */
type Standing = Pick<NodeState, 'phase' | 'epoch'>;

/** A timer that should run: for how long, and on whose account. A changed account starts it anew. */
interface Wanted {
  delayMs: number;
  account: string;
}

/** Sets what should run and does not, clears what runs and should not; notes it in `after.timers`. */
export function timerEffects(after: NodeState): Effect[] {
  const wanted = wantedTimers(after);
  const timers: NodeState['timers'] = {};
  const effects: Effect[] = [];
  for (const timer of timerNames) {
    const want = wanted[timer];
    const running = after.timers[timer];
    if (want === undefined) {
      if (running !== undefined) effects.push({ type: 'clearTimer', timer });
      continue;
    }
    timers[timer] = want.account;
    if (running !== want.account) effects.push({ type: 'setTimer', timer, delayMs: want.delayMs });
  }
  after.timers = timers;
  return effects;
}

function wantedTimers(node: NodeState): Partial<Record<TimerName, Wanted>> {
  const { phase, limits } = node;
  const status = { delayMs: limits.statusIntervalMs, account: 'gossip' };
  const inRound = `round ${node.round}`;
  switch (phase.name) {
    case 'stopped':
      return {};
    case 'idle':
      return { status };
    case 'settling':
      return { status, settle: { delayMs: limits.settleMs, account: 'settling' } };
    case 'asking':
      return { status, election: { delayMs: limits.electionTimeoutMs, account: inRound } };
    case 'waiting':
      return { status, coordinator: { delayMs: limits.coordinatorTimeoutMs, account: inRound } };
    case 'claiming':
      // A stopping node waits for its last claim, but not for ever.
      return node.stopping
        ? { release: { delayMs: limits.releaseTimeoutMs, account: 'stopping' } }
        : { status };
    case 'retrying':
      return { status, retry: { delayMs: limits.claimRetryMs, account: 'retrying' } };
    case 'following':
      return { status, ...followerTimers(node, phase) };
    case 'leading':
      // A coordinator that alone is unfit yields; if nobody is fit it keeps the title, for a change would help nobody.
      return !node.fit && (fitPeer(node, null) !== null || seesNobody(node))
        ? { status, yield: { delayMs: limits.yieldHoldMs, account: 'unfit' } }
        : { status };
    case 'releasing':
      return { status, release: { delayMs: limits.releaseTimeoutMs, account: 'releasing' } };
    case 'vacating':
      return {
        status,
        coordinator: { delayMs: limits.coordinatorTimeoutMs, account: `vacated ${phase.epoch}` },
      };
  }
}

/** Whoever is out of sight may be fit: all of them together are taken for it. */
function seesNobody(node: NodeState): boolean {
  return Object.keys(node.peers).length > 0 && connectedPeers(node).length === 0;
}

function followerTimers(
  node: NodeState,
  phase: NodeState['phase'] & { name: 'following' },
): Partial<Record<TimerName, Wanted>> {
  const { limits } = node;
  if (phase.asked) return { handover: { delayMs: limits.handoverTimeoutMs, account: 'asked' } };
  if (!node.fit) return {};
  if (!isConnected(node, phase.coordinator)) {
    return node.claim === null ? { retry: { delayMs: limits.claimRetryMs, account: 'out of sight' } } : {};
  }
  // The highest fit node that is up takes over in order, once it has been both for long enough: a node that flaps never does.
  const isHighest = node.id > phase.coordinator && peersAbove(node).length === 0;
  return isHighest ? { preempt: { delayMs: limits.preemptHoldMs, account: 'highest' } } : {};
}

/** Tells the outside when the node's role, or the coordinator it follows, has changed. */
export function roleEffects(before: Standing, after: Standing): HostEffect[] {
  const [was, is] = [roleOf(before), roleOf(after)];
  switch (is.role) {
    case 'coordinator':
      if (was.role === 'coordinator' && was.epoch === is.epoch) return [];
      return [
        {
          type: 'lead',
          epoch: is.epoch,
          cause: after.phase.name === 'leading' ? after.phase.cause : 'failover',
        },
      ];
    case 'follower':
      if (was.role === 'follower' && was.coordinator === is.coordinator && was.epoch === is.epoch) return [];
      return [{ type: 'follow', coordinator: is.coordinator, epoch: is.epoch }];
    case 'electing':
      return was.role === 'electing' ? [] : [{ type: 'seek' }];
    case 'stopped':
      return was.role === 'stopped' ? [] : [{ type: 'stopped' }];
  }
}

/** Tells the connected peers when what this node would say of itself has changed. COORDINATOR says it for a winner. */
export function gossipEffects(before: NodeState, after: NodeState): Effect[] {
  if (after.phase.name === 'stopped' || before.phase.name === 'stopped') return [];
  if (after.phase.name === 'leading' && before.phase.name !== 'leading') return [];
  const [was, is] = [statusOf(before), statusOf(after)];
  if (was.fit === is.fit && was.coordinator === is.coordinator && was.epoch === is.epoch) return [];
  return connectedPeers(after).map((to) => ({ type: 'send', to, message: is }));
}
