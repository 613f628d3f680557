/**
 * One device's connection on a raw socket. mqtt-packet encodes CONNECT, core/packets.ts all other
 * packets.
 */
import { connect, type Socket } from 'node:net';
import { generate } from 'mqtt-packet';
import { createPacketReader, disconnectPacket, pingreqPacket } from '../core/packets.ts';

/** The keepalive in CONNECT: the broker may drop a device that is silent for 1.5 times this. */
export const keepaliveSeconds = 60;
/** A device that has sent nothing for this time sends a ping. */
const pingAfterMs = 30_000;
/** A connection on which an expected answer is missing for this time counts as dead. */
const silenceMsMax = 15_000;
const connectTimeoutMs = 10_000;

export interface RawLinkOptions {
  host: string;
  port: number;
  clientId: string;
  password: string;
}

export interface RawLinkHandlers {
  /** The broker has sent CONNACK with return code 0. */
  onUp(): void;
  onPuback(packetId: number): void;
  /**
   * The connection ended or was not made. Called once per `open`. `refused` is the return code of a
   * CONNACK that refused the connection.
   */
  onDown(reason: string, refused: number | undefined): void;
}

/** Opens one connection at a time; its owner decides when to try again. */
export class RawLink {
  readonly #options: RawLinkOptions;
  readonly #handlers: RawLinkHandlers;
  readonly #connectPacket: Buffer;
  #socket: Socket | undefined;
  #up = false;
  #sentAtMs = 0;
  #heardAtMs = 0;
  #pinged = false;

  constructor(options: RawLinkOptions, handlers: RawLinkHandlers) {
    this.#options = options;
    this.#handlers = handlers;
    // With a kept session the device must send unacknowledged messages again with DUP after a
    // reconnect [MQTT-4.4.0-1].
    this.#connectPacket = generate({
      cmd: 'connect',
      protocolId: 'MQTT',
      protocolVersion: 4,
      clean: false,
      clientId: options.clientId,
      keepalive: keepaliveSeconds,
      username: options.clientId,
      password: Buffer.from(options.password),
    });
  }

  get up(): boolean {
    return this.#up;
  }

  /** Number of bytes that wait in this process because the broker does not read. */
  get waitingBytes(): number {
    return this.#socket?.writableLength ?? 0;
  }

  open(nowMs: number): void {
    const { host, port } = this.#options;
    const socket = connect({ host, port, noDelay: true });
    this.#socket = socket;
    this.#heardAtMs = this.#sentAtMs = nowMs;
    this.#pinged = false;
    let reason = 'closed by the broker';
    let refused: number | undefined;
    socket.setTimeout(connectTimeoutMs, () => socket.destroy(new Error('no CONNACK in time')));
    const read = createPacketReader({
      onConnack: (returnCode) => {
        if (returnCode !== 0) {
          refused = returnCode;
          socket.destroy(new Error(`CONNACK return code ${returnCode}`));
          return;
        }
        socket.setTimeout(0);
        this.#up = true;
        this.#handlers.onUp();
      },
      onPuback: (packetId) => this.#handlers.onPuback(packetId),
      onInvalid: (why) => socket.destroy(new Error(why)),
    });
    socket.on('connect', () => socket.write(this.#connectPacket));
    socket.on('data', (chunk: Buffer) => {
      this.#heardAtMs = -1;
      this.#pinged = false;
      read(chunk);
    });
    socket.on('error', (error) => {
      reason = error.message;
    });
    socket.on('close', () => {
      if (this.#socket !== socket) return;
      this.#socket = undefined;
      this.#up = false;
      this.#handlers.onDown(reason, refused);
    });
  }

  write(bytes: Buffer): void {
    this.#sentAtMs = -1;
    this.#socket?.write(bytes);
  }

  /** Closes the connection without DISCONNECT, like a device that loses its network. */
  cut(): void {
    this.#socket?.destroy();
  }

  /** Sends DISCONNECT and closes the connection; `onDown` follows. */
  end(): void {
    this.#socket?.end(disconnectPacket);
  }

  /**
   * Sends pings, and closes a connection on which an answer is overdue. Call it about once per
   * second.
   */
  sweep(nowMs: number, answerDue: boolean): void {
    if (!this.#up) return;
    // The clock is read here and not for every chunk, which would cost too much. It is late by up
    // to a second.
    if (this.#heardAtMs < 0 || !(answerDue || this.#pinged)) this.#heardAtMs = nowMs;
    if (this.#sentAtMs < 0) this.#sentAtMs = nowMs;
    if (nowMs - this.#heardAtMs > silenceMsMax) {
      this.#socket?.destroy(new Error('the broker is silent'));
    } else if (nowMs - this.#sentAtMs > pingAfterMs) {
      this.#pinged = true;
      this.write(pingreqPacket);
    }
  }
}
