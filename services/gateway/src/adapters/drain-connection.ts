/** One coordinator's connection to the drain session: packets out in bulk within a window, PUBACKs in. */
import type { Socket } from 'node:net';
import { drainFilter } from '@thermomesh/contracts';
import type { CrashHook } from '@thermomesh/runtime';
import mqtt, { type ISubscribePacket, type Packet } from 'mqtt-packet';
import { createDrainWindow, type DrainWindow, type WindowLimits } from '../core/drain-window.ts';
import { indexAfter, logIdAt, packets, packetsAgain, type Group } from '../core/group.ts';
import type { MessageLog } from '../core/message-log.ts';
import { readLength } from '../core/mqtt-bytes.ts';

/** Largest packet that the coordinator sends, in bytes: CONNECT and SUBSCRIBE are small. */
const packetBytesMax = 16 * 1024;
/** Bytes that may wait in the socket's own buffer before we stop writing. */
const socketBytesMax = 1024 * 1024;

/** What is known of the holder of the drain session. */
export interface Holder {
  nodeId: number;
  epoch: number | null;
}

export interface ConnectionOptions {
  socket: Socket;
  holder: Holder;
  keepaliveSeconds: number;
  messages: MessageLog;
  limits: WindowLimits;
  crash: CrashHook;
  /** The last message that any connection was sent: up to it DUP is set. */
  sent: { logId: number };
  onEnd: (connection: DrainConnection, reason: string) => void;
}

/** Serves an admitted connection; {@link DrainConnection.receive} gets every byte behind its CONNECT. */
export class DrainConnection {
  readonly holder: Holder;
  readonly #options: ConnectionOptions;
  readonly #socket: Socket;
  readonly #window: DrainWindow;
  readonly #silence: NodeJS.Timeout | undefined;
  /** The group that is being sent, and the next message of it. */
  #group: Group | undefined;
  #index = 0;
  #lastGroup: number | undefined;
  #rest = Buffer.alloc(0);
  #ended = false;

  constructor(options: ConnectionOptions) {
    this.#options = options;
    this.#socket = options.socket;
    this.holder = options.holder;
    this.#window = createDrainWindow(options.limits);
    if (options.keepaliveSeconds > 0) {
      // One and a half intervals without a packet: the client is gone [MQTT-3.1.2-24].
      this.#silence = setTimeout(() => this.end('keep-alive is over'), options.keepaliveSeconds * 1500);
    }
    this.#socket.on('drain', () => this.pump());
    this.#socket.on('close', () => this.end('closed'));
  }

  get inFlight(): number {
    return this.#window.inFlight;
  }

  /** Sends what the window and the socket take. */
  pump(): void {
    if (this.#ended) return;
    this.#socket.cork();
    while (this.#socket.writableLength < socketBytesMax) {
      const group = this.#advance();
      if (group === undefined) break;
      const taken = this.#window.room(group, this.#index);
      if (taken === 0) break;
      this.#send(group, this.#index, this.#index + taken);
      this.#index += taken;
    }
    this.#socket.uncork();
  }

  receive(chunk: Buffer): void {
    if (this.#ended) return;
    this.#silence?.refresh();
    const bytes = this.#rest.length === 0 ? chunk : Buffer.concat([this.#rest, chunk]);
    this.#rest = Buffer.from(bytes.subarray(this.#take(bytes)));
    // Before anything else: what the coordinator has committed is settled, whatever ended the connection behind it.
    this.#settle();
    this.pump();
  }

  end(reason: string): void {
    if (this.#ended) return;
    this.#ended = true;
    clearTimeout(this.#silence);
    this.#socket.destroy();
    this.#options.onEnd(this, reason);
  }

  /** The group that holds the next message to send. */
  #advance(): Group | undefined {
    if (this.#group !== undefined && this.#index < this.#group.count) return this.#group;
    const { messages } = this.#options;
    this.#group = messages.nextDrainGroup(this.#lastGroup);
    if (this.#group === undefined) return undefined;
    this.#index = this.#lastGroup === undefined ? indexAfter(this.#group, messages.drainedLogId) : 0;
    this.#lastGroup = this.#group.firstLogId;
    return this.#group;
  }

  #send(group: Group, from: number, to: number): void {
    const { sent } = this.#options;
    const again = Math.min(Math.max(indexAfter(group, sent.logId), from), to);
    if (again > from) this.#socket.write(packetsAgain(group, from, again));
    if (to > again) this.#socket.write(packets(group, again, to));
    sent.logId = Math.max(sent.logId, logIdAt(group, to - 1));
    this.#window.sent(group, from, to);
  }

  #settle(): void {
    const settled = this.#window.settle();
    if (settled === undefined) return;
    this.#options.crash('gateway.before-removal');
    this.#options.messages.drained(settled.logId, settled.count, settled.finished);
  }

  /** Handles every complete packet and returns the offset of what is left. */
  #take(bytes: Buffer): number {
    let at = 0;
    while (!this.#ended && at < bytes.length) {
      // PUBACKs come by the thousand, four bytes each: no parser.
      if (bytes[at] === 0x40 && bytes[at + 1] === 2) {
        if (at + 4 > bytes.length) return at;
        if (!this.#window.acknowledge(bytes.readUInt16BE(at + 2))) this.end('a PUBACK out of order');
        at += 4;
        continue;
      }
      const end = packetEndIn(bytes, at);
      if (end === 'incomplete') return at;
      const packet = end === 'malformed' ? undefined : parsePacket(bytes.subarray(at, end));
      if (packet === undefined || end === 'malformed') {
        this.end('a malformed packet');
        return at;
      }
      this.#control(packet);
      at = end;
    }
    return at;
  }

  /** Everything but PUBACK. */
  #control(packet: Packet): void {
    switch (packet.cmd) {
      case 'pingreq':
        this.#socket.write(mqtt.generate({ cmd: 'pingresp' }));
        break;
      case 'subscribe':
        this.#socket.write(suback(packet));
        break;
      case 'disconnect':
        this.end('disconnected');
        break;
      default:
        // UNSUBSCRIBE among them: the session keeps its subscription whatever a client asks.
        this.end(`${packet.cmd} is not allowed on the drain session`);
    }
  }
}

function suback({ messageId, subscriptions }: ISubscribePacket): Buffer {
  const granted = subscriptions.map(({ topic, qos }) => (topic === drainFilter && qos > 0 ? 1 : 0x80));
  return mqtt.generate({ cmd: 'suback', messageId: messageId ?? 0, granted });
}

/** The offset behind the packet that begins at `at`. */
export function packetEndIn(bytes: Buffer, at: number): number | 'incomplete' | 'malformed' {
  const length = readLength(bytes, at + 1);
  if (length === undefined) return 'incomplete';
  if (length === null || length.value > packetBytesMax) return 'malformed';
  const end = length.next + length.value;
  return end > bytes.length ? 'incomplete' : end;
}

/** One complete packet; undefined if it is malformed. */
export function parsePacket(bytes: Buffer): Packet | undefined {
  let parsed: Packet | undefined;
  let failed = false;
  const parser = mqtt.parser({ protocolVersion: 4 });
  parser.on('packet', (packet: Packet) => (parsed = packet));
  parser.on('error', () => (failed = true));
  parser.parse(bytes);
  return failed ? undefined : parsed;
}
