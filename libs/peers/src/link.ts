/** One WebSocket between two nodes: first the handshake, then messages; detects a silent peer. */
import type { NodeId, PeerDownReason, PeerMessage } from '@thermomesh/election';
import { codeOf } from '@thermomesh/runtime';
import { WebSocket, type RawData } from 'ws';
import type { Handshake } from './handshake.ts';
import type { PeerLimits } from './limits.ts';
import { parsePeerMessage } from './messages.ts';

/** Codes of the closing frame, from the range for private use. */
const closeCodes = { refused: 4401, malformed: 4400, leaving: 1001 };

/**
 * Receives the events of a link: at most one `onProved`, then messages, and finally one `onEnd`.
 */
export interface LinkHandlers {
  onProved(link: Link, peer: NodeId): void;
  onMessage(from: NodeId, message: PeerMessage): void;
  onEnd(link: Link, reason: PeerDownReason, end: LinkEnd): void;
}

/** How a link ended, for logs and counts. */
export interface LinkEnd {
  /**
   * A {@link RefusalReason}, `malformed_message`, `handshake_timeout`, `overflow`, or the code of
   * the socket's error.
   */
  code?: string;
  /** Code of the closing frame. */
  closeCode?: number;
  /** The first error of the socket. */
  err?: Error;
}

/** A link over the whole life of its socket. Times are those of the monotonic clock. */
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
  #lastReceivedAtMs = performance.now();
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
      this.#receive(data, isBinary);
    });
    socket.on('ping', () => {
      this.#noteActivity();
    });
    socket.on('pong', () => {
      this.#noteActivity();
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

  /**
   * Sends the message and returns true if the link is up. If the peer does not read and too many
   * bytes wait, the link ends.
   */
  send(message: PeerMessage): boolean {
    if (this.peer === undefined || this.#ended || this.#socket.readyState !== WebSocket.OPEN) return false;
    if (this.#socket.bufferedAmount > this.#limits.sendBufferBytesMax) {
      // The close event of the socket reports the end later: `send` never calls its caller back.
      this.#fail('overflow');
      return false;
    }
    this.#write(JSON.stringify(message));
    return true;
  }

  /** Sends a ping, or ends the link if nothing was received for `peerTimeoutMs`. */
  tick(nowMs: number): void {
    if (this.peer === undefined || this.#ended) return;
    if (nowMs - this.#lastReceivedAtMs > this.#limits.peerTimeoutMs) this.abandon('silent');
    else if (this.#socket.readyState === WebSocket.OPEN) this.#socket.ping();
  }

  /**
   * Restarts the silence timeout. Used when this process itself was paused: the messages of its
   * peers are still unread, so their silence proves nothing.
   */
  forgiveSilence(nowMs: number): void {
    this.#lastReceivedAtMs = nowMs;
  }

  /** Ends the link without waiting for the other end. */
  abandon(reason: PeerDownReason): void {
    this.#finish(reason);
    this.#socket.terminate();
  }

  /** Closes the link gracefully: messages that were sent before still arrive if the peer reads. */
  close(): void {
    this.#closeBy(closeCodes.leaving);
  }

  #open(): void {
    this.#act(this.#handshake.open());
  }

  #receive(data: RawData, isBinary: boolean): void {
    this.#noteActivity();
    if (this.#ended || this.#socket.readyState !== WebSocket.OPEN) return;
    const text = isBinary || !Buffer.isBuffer(data) ? '' : data.toString('utf8');
    if (this.peer === undefined) {
      this.#act(this.#handshake.receive(text));
      return;
    }
    const message = parsePeerMessage(text);
    if (message !== undefined) {
      this.#handlers.onMessage(this.peer, message);
      return;
    }
    this.#end.code = 'malformed_message';
    this.#closeBy(closeCodes.malformed);
  }

  #act(turn: ReturnType<Handshake['receive']>): void {
    if (turn.send !== undefined) this.#write(turn.send);
    if (turn.refuse !== undefined) {
      this.#end.code = turn.refuse;
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

  /** Records the error; the close event of the socket follows and reports the end. */
  #broke(error: Error): void {
    this.#end.code ??= codeOf(error) ?? 'socket_error';
    this.#end.err ??= error;
  }

  #noteActivity(): void {
    this.#lastReceivedAtMs = performance.now();
  }

  #fail(code: string): void {
    this.#end.code ??= code;
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
