/**
 * The Bully algorithm (H. Garcia-Molina, "Elections in a Distributed Computing System", IEEE
 * Transactions on Computers C-31, 1982), with three additions: the winner must also win an epoch at
 * the fence (I2), a returning higher node takes over gracefully instead of by force, and gossip
 * repairs lost messages.
 *
 * {@link step} is pure: no clock, no randomness, no sockets. `testdata/*.txt` tells it in stories.
 */
import type { ClaimCause, Effect, ElectionEvent, Epoch, HandoverCause, NodeId } from './types.ts';
import type { NodeState, PeerMessage, TimerName } from './types.ts';
import { connectedPeers, fitPeer, isConnected, peersAbove, statusOf } from './views.ts';
import { gossipEffects, roleEffects, timerEffects } from './derived-effects.ts';

/** The state that this step may change, and the effects it wants. */
type Turn = NodeState & { effects: Effect[] };

/** Takes a state and an event; returns the next state and the effects to carry out, in order. */
export function step(before: NodeState, event: ElectionEvent): [NodeState, Effect[]] {
  const turn: Turn = { ...before, peers: { ...before.peers }, timers: { ...before.timers }, effects: [] };
  react(turn, event);
  const { effects, ...after } = turn;
  effects.push(...roleEffects(before, after), ...gossipEffects(before, after), ...timerEffects(after));
  return [after, effects];
}

function react(node: Turn, event: ElectionEvent): void {
  if (node.phase.name === 'stopped') return event.type === 'start' ? start(node, event.fit) : undefined;
  switch (event.type) {
    case 'start':
      return;
    case 'stop':
      return stop(node);
    case 'peerUp':
      node.peers[event.peer] = { connected: true, fit: undefined };
      return send(node, event.peer, statusOf(node));
    case 'peerDown':
      node.peers[event.peer] = { connected: false, fit: undefined };
      return lost(node, event.peer);
    case 'message':
      return isConnected(node, event.from) ? hear(node, event.from, event.message) : undefined;
    case 'timer':
      return fire(node, event.timer);
    case 'claimWon':
      return won(node, event.epoch);
    case 'claimHeld':
      return held(node, event.holder, event.epoch);
    case 'claimFailed':
      node.claim = null;
      return node.phase.name === 'claiming' ? retryOrStop(node) : undefined;
    case 'deposed':
      return event.epoch > node.epoch ? supersede(node, event.holder, event.epoch) : undefined;
    case 'released':
      return node.phase.name === 'releasing' && node.phase.epoch === event.epoch ? vacate(node) : undefined;
    case 'fitnessChanged':
      return fitness(node, event.fit);
  }
}

function hear(node: Turn, from: NodeId, message: PeerMessage): void {
  switch (message.type) {
    case 'election':
      return asked(node, from, message.round);
    case 'ok':
      // An OK to an earlier election does not tell who is alive now.
      if (node.phase.name === 'asking' && message.round === node.round)
        node.phase = { name: 'waiting', on: from };
      return;
    case 'coordinator':
      return announced(node, from, message.epoch);
    case 'status':
      return gossip(node, from, message);
    case 'handover':
      return handOver(node, from, message.epoch);
    case 'released':
      return succeed(node, from, message.epoch, message.cause);
    case 'refused':
      if (node.phase.name === 'following' && node.phase.coordinator === from) {
        node.phase = { ...node.phase, asked: false };
      }
  }
}

// ── Electing

/** Bully, step 1: ask every connected, fit, higher peer. If there is none, claim at once. */
function elect(node: Turn): void {
  if (!node.fit) {
    node.phase = { name: 'idle' };
    return;
  }
  const above = peersAbove(node);
  if (above.length === 0) return claim(node, node.epoch === 0 ? 'first' : 'failover');
  node.round += 1;
  node.phase = { name: 'asking' };
  for (const peer of above) send(node, peer, { type: 'election', round: node.round });
}

/**
 * Bully, step 2: a lower node asks. Answer it, and start an election in its place unless the
 * coordinator is known to be there.
 */
function asked(node: Turn, from: NodeId, round: number): void {
  const { phase } = node;
  if (from > node.id) return;
  const titled = phase.name === 'leading' || phase.name === 'releasing';
  if (!node.fit && !titled) return send(node, from, statusOf(node));
  send(node, from, { type: 'ok', round });
  if (phase.name === 'leading') return send(node, from, { type: 'coordinator', epoch: phase.epoch });
  if (phase.name === 'settling') return elect(node);
  if (phase.name !== 'following') return;
  // A higher coordinator is asked whether it is still there: it answers COORDINATOR. Otherwise tell
  // the asking node which coordinator this node follows.
  return peersAbove(node).includes(phase.coordinator) ? elect(node) : send(node, from, statusOf(node));
}

/**
 * Bully, step 3: no higher node answered. Here a node wins the title only together with an epoch of
 * the fence (I2).
 */
function claim(node: Turn, cause: ClaimCause): void {
  node.phase = { name: 'claiming' };
  askFence(node, cause);
}

function askFence(node: Turn, cause: ClaimCause): void {
  if (node.claim !== null) return;
  node.claim = cause;
  node.effects.push({ type: 'claim', cause });
}

/**
 * Bully, step 4: tell all peers. An epoch that the fence granted counts even if this node has
 * meanwhile followed another coordinator, and even if it has heard of that epoch before: other
 * nodes may learn from the fence who won sooner than the winner does.
 */
function won(node: Turn, epoch: Epoch): void {
  const cause = node.claim ?? 'failover';
  node.claim = null;
  if (epoch < node.epoch) return node.phase.name === 'claiming' ? retryOrStop(node) : undefined;
  node.epoch = epoch;
  node.phase = { name: 'leading', epoch, cause };
  for (const peer of connectedPeers(node)) send(node, peer, { type: 'coordinator', epoch });
  if (node.stopping) release(node, null, 'yield');
}

/**
 * Another node's lease is fresh, so it drains and this node follows it. While that node is out of
 * sight, the `retry` timer runs.
 */
function held(node: Turn, holder: NodeId, epoch: Epoch): void {
  node.claim = null;
  if (epoch > node.epoch) return supersede(node, holder, epoch);
  if (node.phase.name !== 'claiming' && node.phase.name !== 'following') return;
  if (epoch === node.epoch && holder !== node.id && !node.stopping) return follow(node, holder, epoch);
  return node.phase.name === 'claiming' ? retryOrStop(node) : undefined;
}

function retryOrStop(node: Turn): void {
  node.phase = { name: node.stopping ? 'stopped' : 'retrying' };
}

// ── Following

function follow(node: Turn, coordinator: NodeId, epoch: Epoch): void {
  node.epoch = epoch;
  if (node.phase.name === 'following' && node.phase.coordinator === coordinator) return;
  node.phase = { name: 'following', coordinator, asked: false };
}

/** COORDINATOR. One of an old epoch changes nothing; its sender gets this node's status. */
function announced(node: Turn, from: NodeId, epoch: Epoch): void {
  if (epoch < node.epoch) return send(node, from, statusOf(node));
  if (epoch > node.epoch) return supersede(node, from, epoch);
  const own =
    node.phase.name === 'leading' || node.phase.name === 'releasing' || node.phase.name === 'vacating';
  if (!own && !node.stopping) follow(node, from, epoch);
}

/** A higher epoch exists: everything that this node did for a lower one ends at once. */
function supersede(node: Turn, holder: NodeId | null, epoch: Epoch): void {
  const { phase } = node;
  if (phase.name === 'leading' || phase.name === 'releasing') {
    node.effects.push({ type: 'stepDown', epoch: phase.epoch });
  }
  node.epoch = epoch;
  if (node.stopping) node.phase = { name: node.claim === null ? 'stopped' : 'claiming' };
  else if (holder !== null && holder !== node.id) follow(node, holder, epoch);
  else if (isTiedToAnEpoch(node)) elect(node);
}

function gossip(node: Turn, from: NodeId, status: PeerMessage & { type: 'status' }): void {
  const { phase } = node;
  node.peers[from] = { connected: true, fit: status.fit };
  if (node.stopping) return;
  if (status.epoch > node.epoch) return supersede(node, status.coordinator, status.epoch);
  if (phase.name === 'leading' && (status.epoch < node.epoch || status.coordinator !== node.id)) {
    return send(node, from, { type: 'coordinator', epoch: phase.epoch });
  }
  const named = status.epoch === node.epoch && status.coordinator !== node.id ? status.coordinator : null;
  if (named !== null && believes(node, from)) return follow(node, named, status.epoch);
  // The coordinator itself denies its role: it was restarted, or its hand-over failed.
  const denies = status.epoch === node.epoch && status.coordinator !== from;
  if (denies && phase.name === 'following' && phase.coordinator === from) return elect(node);
  if (!status.fit) noLongerAwaited(node, from);
}

/**
 * Whether this node believes `from` about who leads: after it has asked higher nodes, only those;
 * before it has asked, any node.
 */
function believes(node: Turn, from: NodeId): boolean {
  const { phase } = node;
  if (phase.name === 'asking' || phase.name === 'waiting') return from > node.id;
  if (phase.name === 'following') return phase.coordinator === from;
  return phase.name === 'settling' || phase.name === 'idle' || phase.name === 'retrying';
}

/** A link broke or fell silent. */
function lost(node: Turn, peer: NodeId): void {
  if (node.stopping) return;
  if (node.phase.name === 'following' && node.phase.coordinator === peer) return elect(node);
  noLongerAwaited(node, peer);
}

/** A peer is gone or unfit. If this node waited for it, it continues without it. */
function noLongerAwaited(node: Turn, peer: NodeId): void {
  const { phase } = node;
  if (phase.name === 'asking' && peersAbove(node).length === 0) return elect(node);
  if (phase.name === 'waiting' && phase.on === peer) return elect(node);
  if (phase.name === 'vacating' && phase.to === peer) return elect(node);
}

// ── Graceful hand-over

/**
 * A higher node that has been up and fit for `preemptHoldMs` asks this coordinator for its title.
 */
function handOver(node: Turn, from: NodeId, epoch: Epoch): void {
  const { phase } = node;
  if (phase.name === 'releasing' && phase.to === from) return;
  if (phase.name === 'vacating' && phase.to === from && phase.epoch === epoch) {
    return send(node, from, { type: 'released', epoch, cause: phase.cause });
  }
  const willing = phase.name === 'leading' && phase.epoch === epoch && from > node.id;
  if (!willing || node.peers[from]?.fit === false)
    return send(node, from, { type: 'refused', epoch: node.epoch });
  release(node, from, 'preempt');
}

function release(node: Turn, to: NodeId | null, cause: HandoverCause): void {
  if (node.phase.name !== 'leading') return;
  node.effects.push({ type: 'release', epoch: node.phase.epoch });
  node.phase = { name: 'releasing', epoch: node.phase.epoch, to, cause };
}

/**
 * The release has finished: name the successor. If the successor is gone, an ordinary election
 * follows.
 */
function vacate(node: Turn): void {
  if (node.phase.name !== 'releasing') return;
  const { epoch, cause } = node.phase;
  const to = fitPeer(node, node.phase.to);
  if (to !== null) send(node, to, { type: 'released', epoch, cause });
  if (node.stopping) node.phase = { name: 'stopped' };
  else if (to !== null) node.phase = { name: 'vacating', epoch, to, cause };
  else elect(node);
}

/**
 * This node was named as the successor. A repeated or late message names an epoch that has ended,
 * and changes nothing.
 */
function succeed(node: Turn, from: NodeId, epoch: Epoch, cause: HandoverCause): void {
  if (epoch < node.epoch || node.stopping || isTitled(node) || node.phase.name === 'claiming') return;
  node.epoch = epoch;
  if (!node.fit) return send(node, from, statusOf(node));
  claim(node, cause);
}

// ── The node itself

function start(node: Turn, fit: boolean): void {
  node.fit = fit;
  node.phase = { name: 'settling' };
}

/**
 * Hands leadership over gracefully and at once. If a claim is under way, waits for its answer,
 * because it may win.
 */
function stop(node: Turn): void {
  node.stopping = true;
  if (node.phase.name === 'leading') return release(node, null, 'yield');
  if (node.phase.name === 'releasing') return;
  node.phase = { name: node.claim === null ? 'stopped' : 'claiming' };
}

function fitness(node: Turn, fit: boolean): void {
  if (node.fit === fit) return;
  node.fit = fit;
  const { name } = node.phase;
  if (fit && name === 'idle') node.phase = { name: 'settling' };
  if (!fit && (name === 'asking' || name === 'waiting' || name === 'retrying')) node.phase = { name: 'idle' };
}

/** A timer ran out. `derived-effects.ts` decides which timers run in which phase. */
function fire(node: Turn, timer: TimerName): void {
  if (node.timers[timer] === undefined) return;
  delete node.timers[timer];
  const { phase } = node;
  switch (timer) {
    case 'settle':
    case 'coordinator':
      return elect(node);
    case 'election':
      return claim(node, node.epoch === 0 ? 'first' : 'failover');
    case 'retry':
      if (phase.name === 'retrying') return elect(node);
      // Still out of sight. If a higher peer is connected, it is the one to ask the fence.
      return peersAbove(node).length === 0 ? askFence(node, 'failover') : undefined;
    case 'preempt':
      if (phase.name !== 'following') return;
      node.phase = { ...phase, asked: true };
      return send(node, phase.coordinator, { type: 'handover', epoch: node.epoch });
    case 'handover':
      if (phase.name === 'following') node.phase = { ...phase, asked: false };
      return;
    case 'release':
      if (phase.name === 'releasing') node.effects.push({ type: 'stepDown', epoch: phase.epoch });
      return phase.name === 'releasing' ? vacate(node) : retryOrStop(node);
    case 'yield':
      return release(node, null, 'yield');
    case 'status':
      for (const peer of connectedPeers(node)) send(node, peer, statusOf(node));
  }
}

function isTitled(node: Turn): boolean {
  return node.phase.name === 'leading' || node.phase.name === 'releasing';
}

function isTiedToAnEpoch(node: Turn): boolean {
  return isTitled(node) || node.phase.name === 'following' || node.phase.name === 'vacating';
}

function send(node: Turn, to: NodeId, message: PeerMessage): void {
  node.effects.push({ type: 'send', to, message });
}
