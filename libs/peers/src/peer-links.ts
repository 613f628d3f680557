/**
 * Authenticated links between the nodes of a group: one per pair, dialled by the lower id, over
 * each node's one HTTP port.
 */
import type { IncomingMessage, Server } from 'node:http';
import type { Duplex } from 'node:stream';
import type { NodeId, PeerDownReason, PeerHandlers, PeerTransport } from '@thermomesh/election';
import type { Log } from '@thermomesh/runtime';
import { WebSocket, WebSocketServer } from 'ws';
import { peersError } from './errors.ts';
import { acceptHandshake, dialHandshake, type Handshake, type TokenOf } from './handshake.ts';
import { defaultPeerLimits, peerLimitIssues, reconnectDelayMs, type PeerLimits } from './limits.ts';
import { Link, type LinkEnd } from './link.ts';

/** The path of the upgrade request on each node's HTTP port. */
export const peersPath = '/v1/peers';

/**
 * The events that are counted: a link came up, a link was lost, a connection was refused, a dial
 * failed.
 */
export type PeerLinkEvent = 'linked' | 'lost' | 'refused' | 'unreachable';

export interface PeerLinksOptions {
  nodeId: NodeId;
  /**
   * All other nodes. `url` is the address for this node (`http:` or `ws:`), possibly of a proxy.
   */
  peers: readonly { nodeId: NodeId; url: string }[];
  /** Tokens of this node and of its peers, from the mesh's secret. They never leave the process. */
  token: TokenOf;
  log: Pick<Log, 'info' | 'warn'>;
  /** Called for each event, with labels of few values: for a metric. */
  onCount?: (event: PeerLinkEvent, labels: { reason?: string }) => void;
  limits?: Partial<PeerLimits>;
}

/** The links of one node. */
export interface PeerLinks extends PeerTransport {
  /**
   * Serves `/v1/peers` on this HTTP server until `stop`. Called before `start` and before the
   * server listens.
   */
  attach(server: Server): void;
  /** The ids of the peers whose links are up, in ascending order. */
  connected(): NodeId[];
}

/**
 * Makes links to all peers. Once started they are redialled without limit.
 * @throws MeshError `peers.bad_options` if limits, ids or addresses do not fit together
 */
export function createPeerLinks(options: PeerLinksOptions): PeerLinks {
  const limits = { ...defaultPeerLimits, ...options.limits };
  const issues = peerLimitIssues(limits);
  const ids = [options.nodeId, ...options.peers.map((peer) => peer.nodeId)];
  if (new Set(ids).size !== ids.length) issues.push('node ids must be distinct');
  for (const { nodeId, url } of options.peers) {
    if (!URL.canParse(url)) issues.push(`the address of node ${nodeId} is no URL`);
  }
  if (issues.length > 0) throw peersError('peers.bad_options', issues.join('; '));
  const links = new Links(options, limits);
  return {
    attach: (server) => {
      links.attach(server);
    },
    start: (handlers) => links.start(handlers),
    stop: () => links.stop(),
    send: (to, message) => links.up.get(to)?.send(message) ?? false,
    connected: () => [...links.up.keys()].sort((a, b) => a - b),
  };
}

class Links {
  readonly up = new Map<NodeId, Link>();
  readonly #options: PeerLinksOptions;
  readonly #limits: PeerLimits;
  readonly #all = new Set<Link>();
  readonly #sockets = new WebSocketServer({
    noServer: true,
    perMessageDeflate: false,
    clientTracking: false,
  });
  readonly #redials = new Set<NodeJS.Timeout>();
  /** Peers whose unreachability is already logged. */
  readonly #missed = new Set<NodeId>();
  readonly #upgrade = (request: IncomingMessage, socket: Duplex, head: Buffer) => {
    this.#accept(request, socket, head);
  };
  #server: Server | undefined;
  #handlers: PeerHandlers | undefined;
  #ticker: NodeJS.Timeout | undefined;
  #lastTickAtMs = 0;
  #lastRefusalLoggedAtMs = -Infinity;
  #stopped: Promise<void> | undefined;
  #allEnded: (() => void) | undefined;

  constructor(options: PeerLinksOptions, limits: PeerLimits) {
    this.#options = options;
    this.#limits = limits;
    this.#sockets.options.maxPayload = limits.payloadBytesMax;
  }

  attach(server: Server): void {
    this.#server = server;
    server.on('upgrade', this.#upgrade);
  }

  async start(handlers: PeerHandlers): Promise<void> {
    const { nodeId, peers } = this.#options;
    const isDialled = peers.some((peer) => peer.nodeId < nodeId);
    if (isDialled && this.#server === undefined) {
      throw peersError(
        'peers.not_attached',
        `node ${nodeId} is dialled by lower nodes, but has no HTTP server attached`,
      );
    }
    this.#handlers = handlers;
    this.#lastTickAtMs = performance.now();
    this.#ticker = setInterval(() => {
      this.#tick();
    }, this.#limits.pingIntervalMs);
    for (const peer of peers) {
      if (peer.nodeId > nodeId) this.#redial(peer, 0, 0);
    }
  }

  stop(): Promise<void> {
    return (this.#stopped ??= this.#stop());
  }

  async #stop(): Promise<void> {
    this.#handlers = undefined;
    this.#server?.off('upgrade', this.#upgrade);
    clearInterval(this.#ticker);
    for (const timer of this.#redials) clearTimeout(timer);
    this.up.clear();
    const ended = new Promise<void>((resolve) => {
      this.#allEnded = resolve;
    });
    for (const link of this.#all) link.close();
    if (this.#all.size > 0) await ended;
  }

  // Dialling

  #redial(peer: { nodeId: NodeId; url: string }, failures: number, delayMs: number): void {
    const timer = setTimeout(() => {
      this.#redials.delete(timer);
      this.#dial(peer, failures);
    }, delayMs);
    this.#redials.add(timer);
  }

  #dial(peer: { nodeId: NodeId; url: string }, failures: number): void {
    const { nodeId, token } = this.#options;
    const { handshakeTimeoutMs: handshakeTimeout, payloadBytesMax: maxPayload } = this.#limits;
    const url = new URL(peersPath, peer.url);
    url.protocol = url.protocol.replace('http', 'ws');
    const socket = new WebSocket(url, { handshakeTimeout, maxPayload, perMessageDeflate: false });
    this.#watch(socket, dialHandshake(nodeId, peer.nodeId, token), (link, end) => {
      if (this.#handlers === undefined) return;
      const livedMs = link.peer === undefined ? 0 : performance.now() - link.provedAtMs;
      // A link that breaks soon after it came up counts as a failure: two processes with the same
      // id must not replace each other in a tight loop.
      const failed = livedMs < this.#limits.reconnectMaxMs ? failures + 1 : 0;
      if (link.peer === undefined) this.#unreachable(peer.nodeId, end);
      this.#redial(peer, failed, reconnectDelayMs(this.#limits, failed, Math.random()));
    });
  }

  /** Logs once until the peer is back: a node that is down for an hour is one line, not 3,600. */
  #unreachable(peer: NodeId, end: LinkEnd): void {
    const refusal = end.code === 'bad_proof' || end.closeCode === 4401;
    this.#count(refusal ? 'refused' : 'unreachable', end);
    if (this.#missed.has(peer)) return;
    this.#missed.add(peer);
    this.#options.log.warn({
      event: refusal ? 'peer.refused' : 'peer.unreachable',
      peer,
      dialled: true,
      ...end,
    });
  }

  // Being dialled

  #accept(request: IncomingMessage, socket: Duplex, head: Buffer): void {
    const path = (request.url ?? '').split('?')[0];
    if (path !== peersPath) {
      // The upgrade belongs to another listener; without one the request would hang.
      if (this.#server?.listenerCount('upgrade') === 1) turnAway(socket, '404 Not Found');
      return;
    }
    const pending = [...this.#all].filter((link) => link.peer === undefined).length;
    if (this.#handlers === undefined || pending >= this.#limits.pendingHandshakesMax) {
      this.#count('refused', { code: 'busy' });
      turnAway(socket, '503 Service Unavailable');
      return;
    }
    this.#sockets.handleUpgrade(request, socket, head, (webSocket) => {
      const { nodeId, peers, token } = this.#options;
      const mayDial = (peer: NodeId) => peer < nodeId && peers.some((known) => known.nodeId === peer);
      this.#watch(webSocket, acceptHandshake(nodeId, mayDial, token), (link, end) => {
        if (link.peer === undefined) this.#refused(end);
      });
    });
  }

  /** Refusals are all counted, but at most one a second is logged. */
  #refused(end: LinkEnd): void {
    this.#count('refused', end);
    const nowMs = performance.now();
    if (nowMs - this.#lastRefusalLoggedAtMs < 1000) return;
    this.#lastRefusalLoggedAtMs = nowMs;
    this.#options.log.warn({ event: 'peer.refused', dialled: false, ...end });
  }

  // Links

  #watch(socket: WebSocket, handshake: Handshake, onEnded: (link: Link, end: LinkEnd) => void): void {
    const link = new Link(socket, handshake, this.#limits, {
      onProved: (proved, peer) => {
        this.#proved(proved, peer);
      },
      onMessage: (from, message) => {
        if (this.up.get(from) === link) this.#handlers?.onMessage(from, message);
      },
      onEnd: (over, reason, end) => {
        this.#all.delete(over);
        this.#lost(over, reason, end);
        onEnded(over, end);
        if (this.#all.size === 0) this.#allEnded?.();
      },
    });
    this.#all.add(link);
  }

  /**
   * A newer link replaces an older one: the peer was restarted, or it ended the old link before
   * this end did.
   */
  #proved(link: Link, peer: NodeId): void {
    if (this.#handlers === undefined) {
      link.close();
      return;
    }
    this.up.get(peer)?.abandon('replaced');
    this.up.set(peer, link);
    this.#missed.delete(peer);
    this.#count('linked', {});
    this.#options.log.info({ event: 'peer.linked', peer });
    this.#handlers.onPeerUp(peer);
  }

  #lost(link: Link, reason: PeerDownReason, end: LinkEnd): void {
    const { peer } = link;
    if (peer === undefined || this.up.get(peer) !== link) return;
    this.up.delete(peer);
    this.#options.onCount?.('lost', { reason: end.code ?? reason });
    this.#options.log.warn({ event: 'peer.lost', peer, reason, ...end });
    this.#handlers?.onPeerDown(peer, reason);
  }

  #tick(): void {
    const nowMs = performance.now();
    const sleptMs = nowMs - this.#lastTickAtMs - this.#limits.pingIntervalMs;
    this.#lastTickAtMs = nowMs;
    for (const link of this.#all) {
      // This process was paused or starved (SIGSTOP, a busy machine): it must read what has arrived
      // before it judges its peers.
      if (sleptMs > this.#limits.peerTimeoutMs / 2) link.forgiveSilence(nowMs);
      link.tick(nowMs);
    }
  }

  #count(event: PeerLinkEvent, end: LinkEnd): void {
    this.#options.onCount?.(event, end.code === undefined ? {} : { reason: end.code });
  }
}

function turnAway(socket: Duplex, status: string): void {
  socket.on('error', () => {
    socket.destroy();
  });
  socket.end(`HTTP/1.1 ${status}\r\nConnection: close\r\nContent-Length: 0\r\n\r\n`, () => {
    socket.destroy();
  });
}
