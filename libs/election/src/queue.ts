/**
 * Election by queue: fit nodes are candidates in a queue that a service keeps ({@link
 * LeaderSource}), and the first one asks the fence for an epoch (I2). No node is preferred: a
 * returning node goes to the end.
 *
 * {@link queueStep} is pure: no clock, no randomness, no sockets.
 */
import type { MemberStatus } from './leader-source.ts';
import { roleEffects } from './derived-effects.ts';
import type { ClaimCause, ElectionLimits, Epoch, HostEffect, HostEvent, NodeId, Phase } from './types.ts';
import type { TimerName } from './types.ts';

/** Everything that a node remembers. Immutable: `queueStep` returns a new state. */
export interface QueueState {
  readonly id: NodeId;
  readonly limits: ElectionLimits;
  /** The latest status of the other members. */
  others: Readonly<Record<NodeId, MemberStatus>>;
  fit: boolean;
  /** The highest epoch that this node has heard of. */
  epoch: Epoch;
  /** The highest epoch that was released gracefully, as far as this node has heard. */
  released: Epoch;
  /** The source has confirmed that this node is first. */
  first: boolean;
  /** Whether this node has entered the queue. */
  candidate: boolean;
  phase: Phase;
  /** The cause of the claim under way, if any. */
  claim: ClaimCause | null;
  stopping: boolean;
  timers: Partial<Record<TimerName, true>>;
}

export type QueueEvent =
  | HostEvent
  | { type: 'first'; first: boolean }
  | { type: 'group'; others: Readonly<Record<NodeId, MemberStatus>> }
  | { type: 'epochReleased'; epoch: Epoch };

export type QueueEffect =
  | HostEffect
  | { type: 'publish'; status: MemberStatus }
  | { type: 'announceRelease'; epoch: Epoch }
  | { type: 'setCandidate'; candidate: boolean }
  /** To the end of the queue. */
  | { type: 'requeue' };

/** The state that this step may change, and the effects it wants. */
type Turn = QueueState & { effects: QueueEffect[]; requeue: boolean };

const queueTimers = ['retry', 'release', 'yield'] as const;

/** The state of a node that has not started. */
export function initialQueueState(id: NodeId, limits: ElectionLimits): QueueState {
  return {
    id,
    limits,
    others: {},
    fit: false,
    epoch: 0,
    released: 0,
    first: false,
    candidate: false,
    phase: { name: 'stopped' },
    claim: null,
    stopping: false,
    timers: {},
  };
}

/** Takes a state and an event; returns the next state and the effects to carry out, in order. */
export function queueStep(before: QueueState, event: QueueEvent): [QueueState, QueueEffect[]] {
  const turn: Turn = { ...before, timers: { ...before.timers }, effects: [], requeue: false };
  react(turn, event);
  if (isTitled(turn) && turn.epoch > epochOf(turn)) overtaken(turn);
  takeUp(turn);
  const { effects, requeue, ...after } = turn;
  effects.push(...roleEffects(before, after));
  if (after.phase.name !== 'stopped' || before.phase.name !== 'stopped')
    effects.push(...statusEffects(before, after));
  effects.push(...placeEffects(after, requeue), ...timerEffects(after));
  return [after, effects];
}

/** The status that a node publishes about itself. */
export function memberStatusOf(node: QueueState): MemberStatus {
  return { fit: node.fit, leads: isTitled(node) ? epochOf(node) : null };
}

function react(node: Turn, event: QueueEvent): void {
  if (node.phase.name === 'stopped') {
    if (event.type === 'start') Object.assign(node, { fit: event.fit, phase: { name: 'idle' } });
    return;
  }
  switch (event.type) {
    case 'start':
      return;
    case 'stop':
      return stop(node);
    case 'first':
      return event.first ? becomeFirst(node) : loseFirst(node);
    case 'group':
      return look(node, event.others);
    case 'epochReleased':
      // This report tells how a term ended, not which epochs exist: the database decides that, and
      // it may have been created again since.
      node.released = Math.max(node.released, event.epoch);
      return;
    case 'timer':
      return fire(node, event.timer);
    case 'claimWon':
      return won(node, event.epoch);
    case 'claimHeld':
      return held(node, event.holder, event.epoch);
    case 'claimFailed':
      node.claim = null;
      return retryOrStop(node);
    case 'deposed':
      return event.epoch > node.epoch ? deposed(node, event.holder, event.epoch) : undefined;
    case 'released':
      return node.phase.name === 'releasing' && node.phase.epoch === event.epoch ? vacate(node) : undefined;
    case 'fitnessChanged':
      node.fit = event.fit;
      // Outside the queue it is not first and must not ask the fence.
      if (!event.fit && node.phase.name === 'retrying') node.phase = { name: 'idle' };
  }
}

/** What an idle node does next: the first one asks the fence, the others follow the coordinator. */
function takeUp(node: Turn): void {
  if (node.phase.name !== 'idle' || node.stopping) return;
  if (node.first && node.fit) {
    if (node.claim !== null) return;
    node.claim = causeOf(node);
    node.phase = { name: 'claiming' };
    node.effects.push({ type: 'claim', cause: node.claim });
    return;
  }
  const leader = leaderIn(node);
  if (leader !== undefined) follow(node, leader);
}

function causeOf(node: QueueState): ClaimCause {
  if (node.epoch === 0 && node.released === 0) return 'first';
  return node.released >= node.epoch ? 'yield' : 'failover';
}

// ── The queue

/**
 * Asks the fence even if another node publishes that it leads: its status may be out of date, and
 * the fence knows.
 */
function becomeFirst(node: Turn): void {
  if (!node.candidate) return;
  node.first = true;
  if (node.phase.name === 'following' || node.phase.name === 'retrying') node.phase = { name: 'idle' };
}

/**
 * Another node may be first already, so this one stops acting at once. If it is confirmed as first
 * later, it asks the fence again.
 */
function loseFirst(node: Turn): void {
  node.first = false;
  const wasTitled = isTitled(node);
  endTerm(node);
  if (node.stopping) {
    if (wasTitled) node.phase = { name: 'stopped' };
    return;
  }
  if (wasTitled || node.phase.name === 'claiming' || node.phase.name === 'retrying') {
    node.phase = { name: 'idle' };
  }
}

/** The status of other members has changed. */
function look(node: Turn, others: Readonly<Record<NodeId, MemberStatus>>): void {
  node.others = others;
  for (const { leads } of Object.values(others)) node.epoch = Math.max(node.epoch, leads ?? 0);
  // The first node learns from the fence which coordinator to follow.
  if (node.phase.name === 'following' && !node.first) node.phase = { name: 'idle' };
}

function leaderIn(node: QueueState): NodeId | undefined {
  const [id] = Object.entries(node.others).find(([, { leads }]) => leads === node.epoch) ?? [];
  return id === undefined ? undefined : Number(id);
}

function follow(node: Turn, coordinator: NodeId): void {
  node.phase = { name: 'following', coordinator, asked: false };
}

// ── The fence

/** An epoch is not used if the first place was lost meanwhile, or if a higher epoch is known. */
function won(node: Turn, epoch: Epoch): void {
  const cause = node.claim ?? 'failover';
  node.claim = null;
  if (!node.first || epoch < node.epoch) {
    node.effects.push({ type: 'stepDown', epoch });
    node.epoch = Math.max(node.epoch, epoch);
    return retryOrStop(node);
  }
  node.epoch = epoch;
  node.phase = { name: 'leading', epoch, cause };
  if (node.stopping) release(node);
}

/**
 * Another node's lease is fresh although this node is first: follow that node, and ask again later.
 */
function held(node: Turn, holder: NodeId, epoch: Epoch): void {
  node.claim = null;
  if (epoch >= node.epoch && holder !== node.id && !node.stopping) {
    node.epoch = epoch;
    return follow(node, holder);
  }
  retryOrStop(node);
}

/** A claim brought no epoch. */
function retryOrStop(node: Turn): void {
  if (node.stopping) node.phase = { name: 'stopped' };
  else if (node.phase.name === 'claiming') node.phase = { name: node.first ? 'retrying' : 'idle' };
}

/**
 * The database has refused this node's epoch. It goes to the end of the queue, so that it does not
 * compete with the present holder.
 */
function deposed(node: Turn, holder: NodeId | null, epoch: Epoch): void {
  node.epoch = epoch;
  if (isTitled(node)) overtaken(node);
  const free = node.phase.name === 'following' || node.phase.name === 'idle';
  if (free && holder !== null && holder !== node.id && !node.stopping) follow(node, holder);
}

/** A higher epoch than this node's exists: its term ends at once. */
function overtaken(node: Turn): void {
  endTerm(node);
  node.phase = { name: node.stopping ? 'stopped' : 'idle' };
  node.requeue = true;
}

function endTerm(node: Turn): void {
  if (isTitled(node)) node.effects.push({ type: 'stepDown', epoch: epochOf(node) });
}

// ── Graceful release

function release(node: Turn): void {
  if (node.phase.name !== 'leading') return;
  node.effects.push({ type: 'release', epoch: node.phase.epoch });
  node.phase = { name: 'releasing', epoch: node.phase.epoch, to: null, cause: 'yield' };
}

/** The term has ended, gracefully or by timeout: free the place for the next node. */
function vacate(node: Turn): void {
  if (node.phase.name !== 'releasing') return;
  node.released = Math.max(node.released, node.phase.epoch);
  node.effects.push({ type: 'announceRelease', epoch: node.phase.epoch });
  node.phase = { name: node.stopping ? 'stopped' : 'idle' };
  node.requeue = true;
}

/**
 * Releases leadership gracefully and at once. If a claim is under way, waits for its answer,
 * because it may win.
 */
function stop(node: Turn): void {
  node.stopping = true;
  if (node.phase.name === 'leading') return release(node);
  if (node.phase.name === 'releasing') return;
  node.phase = { name: node.claim === null ? 'stopped' : 'claiming' };
}

function fire(node: Turn, timer: TimerName): void {
  if (node.timers[timer] === undefined) return;
  delete node.timers[timer];
  if (timer === 'retry') node.phase = { name: 'idle' };
  else if (timer === 'yield') release(node);
  else if (timer === 'release') {
    endTerm(node);
    if (node.phase.name === 'releasing') vacate(node);
    else node.phase = { name: 'stopped' };
  }
}

// ── What follows from the state alone

function isTitled(node: QueueState): boolean {
  return epochOf(node) > 0;
}

/** The epoch of this node's term; 0 if it has none. */
function epochOf({ phase }: QueueState): Epoch {
  return phase.name === 'leading' || phase.name === 'releasing' ? phase.epoch : 0;
}

function statusEffects(before: QueueState, after: QueueState): QueueEffect[] {
  const [was, is] = [memberStatusOf(before), memberStatusOf(after)];
  const isSame = was.fit === is.fit && was.leads === is.leads;
  const isStarting = before.phase.name === 'stopped';
  return isSame && !isStarting ? [] : [{ type: 'publish', status: is }];
}

/**
 * Candidates are: fit nodes; an unfit coordinator while it releases, or while no other node is fit;
 * a stopping node.
 */
function placeEffects(after: QueueState, requeue: boolean): QueueEffect[] {
  if (after.phase.name === 'stopped') return [];
  const wanted = isTitled(after) || after.stopping || after.fit;
  if (requeue || !wanted) after.first = false;
  if (wanted !== after.candidate) {
    after.candidate = wanted;
    if (!wanted && after.phase.name === 'claiming') after.phase = { name: 'idle' };
    return [{ type: 'setCandidate', candidate: wanted }];
  }
  return requeue && wanted ? [{ type: 'requeue' }] : [];
}

function timerEffects(after: QueueState): QueueEffect[] {
  const wanted = wantedTimers(after);
  const effects: QueueEffect[] = [];
  for (const timer of queueTimers) {
    const delayMs = wanted[timer];
    if (delayMs === undefined && after.timers[timer] !== undefined) {
      delete after.timers[timer];
      effects.push({ type: 'clearTimer', timer });
    } else if (delayMs !== undefined && after.timers[timer] === undefined) {
      after.timers[timer] = true;
      effects.push({ type: 'setTimer', timer, delayMs });
    }
  }
  return effects;
}

function wantedTimers(node: QueueState): Partial<Record<TimerName, number>> {
  const { phase, limits, first, fit } = node;
  switch (phase.name) {
    case 'leading': {
      // If no other node is fit, it keeps the title, because a change would not help.
      const isAnyFit = Object.values(node.others).some((other) => other.fit);
      return !fit && isAnyFit ? { yield: limits.yieldHoldMs } : {};
    }
    case 'releasing':
      return { release: limits.releaseTimeoutMs };
    case 'claiming':
      // A stopping node waits for the answer to its last claim, for a limited time.
      return node.stopping ? { release: limits.releaseTimeoutMs } : {};
    case 'following':
    case 'retrying':
      return first && fit ? { retry: limits.claimRetryMs } : {};
    default:
      return {};
  }
}
