/** One WebSocket between two nodes: first the handshake, then messages, with a watch on silence. */
import type { NodeId, PeerDownReason, PeerMessage } from '@thermomesh/election';
import { codeOf } from '@thermomesh/runtime';
import { WebSocket, type RawData } from 'ws';
import type { Handshake } from './handshake.ts';
import type { PeerLimits } from './limits.ts';
import { parsePeerMessage } from './messages.ts';

/** Codes of the closing frame, from the range for private use. */
const closeCodes = { refused: 4401, malformed: 4400, leaving: 1001 };

/** What a link reports, in this order: at most one `onProved`, then messages, and at last one `onEnd`. */
export interface LinkHandlers {
  onProved(link: Link, peer: NodeId): void;
  onMessage(from: NodeId, message: PeerMessage): void;
  /** `detail` is for the log: the code of an error or of a refusal, if there was one. */
  onEnd(link: Link, reason: PeerDownReason, detail: LinkEnd): void;
}

/** How a link ended, for logs and counts. */
export interface LinkEnd {
  /** A {@link RefusalReason}, `malformed_message`, `handshake_timeout`, `overflow`, or the code of a socket's error. */
  fault?: string;
  closeCode?: number;
  /** What the socket's error said. */
  message?: string;
}

/** A link, from its socket's first moment to its last. Times are of the monotonic clock. */
export class Link {
  /** The peer that has proved itself; undefined during the handshake. */
  peer: NodeId | undefined;
  provedAtMs = 0;
  readonly #socket: WebSocket;
  readonly #handshake: Handshake;
  readonly #limits: PeerLimits;
  readonly #handlers: LinkHandlers;
  readonly #handshakeTimer: NodeJS.Timeout;
  readonly #end: LinkEnd = {};
  #closeTimer: NodeJS.Timeout | undefined;
  #lastHeardAtMs = performance.now();
  #ended = false;

  constructor(socket: WebSocket, handshake: Handshake, limits: PeerLimits, handlers: LinkHandlers) {
    this.#socket = socket;
    this.#handshake = handshake;
    this.#limits = limits;
    this.#handlers = handlers;
    this.#handshakeTimer = setTimeout(() => {
      this.#fail('handshake_timeout');
    }, limits.handshakeTimeoutMs);
    socket.on('open', () => {
      this.#open();
    });
    socket.on('message', (data, isBinary) => {
      this.#hear(data, isBinary);
    });
    socket.on('ping', () => {
      this.#heard();
    });
    socket.on('pong', () => {
      this.#heard();
    });
    socket.on('error', (error) => {
      this.#broke(error);
    });
    socket.on('close', (closeCode) => {
      if (closeCode !== 1006) this.#end.closeCode = closeCode;
      this.#finish('closed');
    });
    if (socket.readyState === WebSocket.OPEN) this.#open();
  }

  /** Sends if the link is up. A peer that does not read cannot make this end hoard: then the link is given up. */
  send(message: PeerMessage): boolean {
    if (this.peer === undefined || this.#ended || this.#socket.readyState !== WebSocket.OPEN) return false;
    if (this.#socket.bufferedAmount > this.#limits.sendBufferBytesMax) {
      // The socket's close event reports the end, later: a caller of send is never called back from within.
      this.#fail('overflow');
      return false;
    }
    this.#write(JSON.stringify(message));
    return true;
  }

  /** Pings, and gives the link up if nothing was heard for `peerTimeoutMs`. */
  tick(nowMs: number): void {
    if (this.peer === undefined || this.#ended) return;
    if (nowMs - this.#lastHeardAtMs > this.#limits.peerTimeoutMs) this.abandon('silent');
    else if (this.#socket.readyState === WebSocket.OPEN) this.#socket.ping();
  }

  /** This process itself has slept: what its peers sent meanwhile is still unread, so their silence proves nothing. */
  forgiveSilence(nowMs: number): void {
    this.#lastHeardAtMs = nowMs;
  }

  /** Ends the link without waiting for the other end. */
  abandon(reason: PeerDownReason): void {
    this.#finish(reason);
    this.#socket.terminate();
  }

  /** Ends the link in order: what was sent before still arrives, if the peer reads. */
  close(): void {
    this.#closeBy(closeCodes.leaving);
  }

  #open(): void {
    this.#act(this.#handshake.open());
  }

  #hear(data: RawData, isBinary: boolean): void {
    this.#heard();
    if (this.#ended || this.#socket.readyState !== WebSocket.OPEN) return;
    const text = isBinary || !Buffer.isBuffer(data) ? '' : data.toString('utf8');
    if (this.peer === undefined) {
      this.#act(this.#handshake.hear(text));
      return;
    }
    const message = parsePeerMessage(text);
    if (message !== undefined) {
      this.#handlers.onMessage(this.peer, message);
      return;
    }
    this.#end.fault = 'malformed_message';
    this.#closeBy(closeCodes.malformed);
  }

  #act(turn: ReturnType<Handshake['hear']>): void {
    if (turn.send !== undefined) this.#write(turn.send);
    if (turn.refuse !== undefined) {
      this.#end.fault = turn.refuse;
      this.#closeBy(closeCodes.refused);
    }
    if (turn.peer === undefined) return;
    clearTimeout(this.#handshakeTimer);
    this.peer = turn.peer;
    this.provedAtMs = performance.now();
    this.#handlers.onProved(this, turn.peer);
  }

  #write(text: string): void {
    this.#socket.send(text, (error) => {
      if (error) this.#broke(error);
    });
  }

  /** The socket's close event follows, and reports the end. */
  #broke(error: Error): void {
    this.#end.fault ??= codeOf(error) ?? 'socket_error';
    this.#end.message ??= error.message;
  }

  #heard(): void {
    this.#lastHeardAtMs = performance.now();
  }

  #fail(fault: string): void {
    this.#end.fault ??= fault;
    this.#socket.terminate();
  }

  #closeBy(code: number): void {
    this.#socket.close(code);
    this.#closeTimer ??= setTimeout(() => {
      this.#socket.terminate();
    }, this.#limits.closeTimeoutMs);
  }

  #finish(reason: PeerDownReason): void {
    clearTimeout(this.#handshakeTimer);
    if (this.#socket.readyState === WebSocket.CLOSED) clearTimeout(this.#closeTimer);
    if (this.#ended) return;
    this.#ended = true;
    this.#handlers.onEnd(this, reason, this.#end);
  }
}
