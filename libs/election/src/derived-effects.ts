/**
 * The effects that follow from a node's state alone, however it came about: which timers run, when
 * the host gets a new role, and when gossip is due. The algorithm does not have to remember any of
 * them.
 */
import type { Effect, HostEffect, NodeState, TimerName } from './types.ts';
import { timerNames } from './types.ts';
import { connectedPeers, fitPeer, isConnected, peersAbove, roleOf, statusOf } from './views.ts';

/** The part of a node's state, of any strategy, that determines its role. */
type RoleState = Pick<NodeState, 'phase' | 'epoch'>;

/** A timer that should run, and why. A timer whose reason changes is restarted. */
interface Wanted {
  delayMs: number;
  reason: string;
}

/**
 * Sets the timers that should run and do not, clears those that run and should not, and records
 * both in `after.timers`.
 */
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
    timers[timer] = want.reason;
    if (running !== want.reason) effects.push({ type: 'setTimer', timer, delayMs: want.delayMs });
  }
  after.timers = timers;
  return effects;
}

function wantedTimers(node: NodeState): Partial<Record<TimerName, Wanted>> {
  const { phase, limits } = node;
  const status = { delayMs: limits.statusIntervalMs, reason: 'gossip' };
  const inRound = `round ${node.round}`;
  switch (phase.name) {
    case 'stopped':
      return {};
    case 'idle':
      return { status };
    case 'settling':
      return { status, settle: { delayMs: limits.settleMs, reason: 'settling' } };
    case 'asking':
      return { status, election: { delayMs: limits.electionTimeoutMs, reason: inRound } };
    case 'waiting':
      return { status, coordinator: { delayMs: limits.coordinatorTimeoutMs, reason: inRound } };
    case 'claiming':
      // A stopping node waits for the answer to its last claim, for a limited time.
      return node.stopping
        ? { release: { delayMs: limits.releaseTimeoutMs, reason: 'stopping' } }
        : { status };
    case 'retrying':
      return { status, retry: { delayMs: limits.claimRetryMs, reason: 'retrying' } };
    case 'following':
      return { status, ...followerTimers(node, phase) };
    case 'leading':
      // A coordinator yields if it alone is unfit. If no peer is fit either, it keeps the title,
      // because a change would not help.
      return !node.fit && (fitPeer(node, null) !== null || seesNoPeer(node))
        ? { status, yield: { delayMs: limits.yieldHoldMs, reason: 'unfit' } }
        : { status };
    case 'releasing':
      return { status, release: { delayMs: limits.releaseTimeoutMs, reason: 'releasing' } };
    case 'vacating':
      return {
        status,
        coordinator: { delayMs: limits.coordinatorTimeoutMs, reason: `vacated ${phase.epoch}` },
      };
  }
}

/**
 * True if no peer is connected. Peers out of sight may be fit, so the coordinator treats them as if
 * one were.
 */
function seesNoPeer(node: NodeState): boolean {
  return Object.keys(node.peers).length > 0 && connectedPeers(node).length === 0;
}

function followerTimers(
  node: NodeState,
  phase: NodeState['phase'] & { name: 'following' },
): Partial<Record<TimerName, Wanted>> {
  const { limits } = node;
  if (phase.asked) return { handover: { delayMs: limits.handoverTimeoutMs, reason: 'asked' } };
  if (!node.fit) return {};
  if (!isConnected(node, phase.coordinator)) {
    return node.claim === null ? { retry: { delayMs: limits.claimRetryMs, reason: 'out of sight' } } : {};
  }
  // The highest fit node takes over gracefully once it has been up and fit for long enough. A node
  // that flaps never does.
  const isHighest = node.id > phase.coordinator && peersAbove(node).length === 0;
  return isHighest ? { preempt: { delayMs: limits.preemptHoldMs, reason: 'highest' } } : {};
}

/** Reports a change of the node's role, or of the coordinator that it follows. */
export function roleEffects(before: RoleState, after: RoleState): HostEffect[] {
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

/**
 * Sends this node's status to the connected peers when it has changed. A new coordinator sends
 * COORDINATOR instead.
 */
export function gossipEffects(before: NodeState, after: NodeState): Effect[] {
  if (after.phase.name === 'stopped' || before.phase.name === 'stopped') return [];
  if (after.phase.name === 'leading' && before.phase.name !== 'leading') return [];
  const [was, is] = [statusOf(before), statusOf(after)];
  if (was.fit === is.fit && was.coordinator === is.coordinator && was.epoch === is.epoch) return [];
  return connectedPeers(after).map((to) => ({ type: 'send', to, message: is }));
}
