/** One device's connection on a raw socket: CONNECT by mqtt-packet, everything else by hand (core/packets.ts). */
import { connect, type Socket } from 'node:net';
import { generate } from 'mqtt-packet';
import { createPacketReader, disconnectPacket, pingreqPacket } from '../core/packets.ts';

/** Told to the broker: it may drop a device that is silent for 1.5 times this. */
export const keepaliveSeconds = 60;
/** A device that sent nothing for this long pings. */
const pingAfterMs = 30_000;
/** Nothing came though something was expected for this long: the connection is dead and nobody said so. */
const silenceMsMax = 15_000;
const connectTimeoutMs = 10_000;

export interface RawLinkOptions {
  host: string;
  port: number;
  clientId: string;
  password: string;
}

export interface RawLinkHandlers {
  /** CONNACK with return code 0. */
  onUp(): void;
  onPuback(packetId: number): void;
  /** The connection ended or did not come about; called once per `open`. `refused` is a CONNACK return code. */
  onDown(reason: string, refused: number | undefined): void;
}

/** Opens one connection at a time; who holds it decides when to try again. */
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
    // The session is kept: then what is unacknowledged must be sent again with DUP after a reconnect [MQTT-4.4.0-1].
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

  /** Bytes that wait in this process because the broker does not read. */
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
      onFault: (fault) => socket.destroy(new Error(fault)),
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

  /** Cuts the connection without a word, as a device does that loses its network. */
  cut(): void {
    this.#socket?.destroy();
  }

  /** Says DISCONNECT and closes; `onDown` follows. */
  end(): void {
    this.#socket?.end(disconnectPacket);
  }

  /** To be called about once a second: pings, and gives up a connection on which an answer is overdue. */
  sweep(nowMs: number, answerDue: boolean): void {
    if (!this.#up) return;
    // Reading the clock for every chunk would cost more than the second that is lost here.
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
