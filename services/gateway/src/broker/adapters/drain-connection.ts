/**
 * The connection of one coordinator to the drain session. It sends packets in bulk within a window,
 * takes PUBACKs, and tells where the log stands.
 */
import type { Socket } from 'node:net';
import {
  DrainDatabase,
  DrainResend,
  drainDatabaseTopic,
  drainFilter,
  drainLogTopic,
  drainResendTopic,
  isDocument,
  uuidText,
  type DocumentOf,
  type DrainLogState,
} from '@thermomesh/contracts';
import type { CrashHook } from '@thermomesh/runtime';
import mqtt, { type IPublishPacket, type ISubscribePacket, type Packet } from 'mqtt-packet';
import { createDrainWindow, type DrainWindow, type WindowLimits } from '../core/drain-window.ts';
import { indexAfter, logIdAt, packets, packetsAgain, type Group } from '../core/group.ts';
import type { MessageLog } from '../core/message-log.ts';
import { readLength } from '../core/mqtt-bytes.ts';
import type { RememberedDatabase } from '../storage/remembered-database.ts';
import type { BestEffortFeed, BestEffortSource } from './best-effort.ts';
import { refuseIllFormedStrings, violationIn, type Parser } from './packet-rules.ts';

/** Maximum size of a packet from the coordinator, in bytes: CONNECT and SUBSCRIBE are small. */
const packetBytesMax = 16 * 1024;
/** Number of bytes in the socket's own buffer above which nothing more is written. */
const socketBytesMax = 1024 * 1024;

/** The node that holds the drain session. */
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
  /** The newest message that was sent on any connection; messages up to it are sent with DUP. */
  sent: { logId: number };
  /** What goes beside the log, at QoS 0. */
  bestEffort: BestEffortSource;
  onEnd: (connection: DrainConnection, reason: string) => void;
  database: RememberedDatabase;
  /** Called when acknowledged messages after `afterLogId` were put back into the buffer. */
  onResend: (afterLogId: number, count: number) => void;
}

/**
 * Serves an admitted connection; {@link DrainConnection.receive} gets the bytes after its CONNECT.
 */
export class DrainConnection {
  readonly holder: Holder;
  readonly #options: ConnectionOptions;
  readonly #socket: Socket;
  readonly #window: DrainWindow;
  readonly #silence: NodeJS.Timeout | undefined;
  readonly #bestEffort: BestEffortFeed;
  /** The group that is being sent, and the index of its next message. */
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
    this.#bestEffort = options.bestEffort.feed(options.socket);
    if (options.keepaliveSeconds > 0) {
      // After one and a half intervals without a packet the client counts as gone [MQTT-3.1.2-24].
      this.#silence = setTimeout(() => this.end('keep-alive has expired'), options.keepaliveSeconds * 1500);
    }
    this.#socket.on('drain', () => this.pump());
    this.#socket.on('close', () => this.end('closed'));
  }

  get inFlight(): number {
    return this.#window.inFlight;
  }

  /** Sends messages until the window or the socket is full. */
  pump(): void {
    if (this.#ended) return;
    this.#socket.cork();
    while (this.#socket.writableLength < socketBytesMax) {
      const group = this.#advance();
      if (group === undefined) {
        // Every accepted message is sent; only then may others use the connection (I1).
        this.#bestEffort.pump();
        break;
      }
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
    // First of all: the coordinator has committed these messages, even if the next packet ended the
    // connection.
    this.#settle();
    this.pump();
  }

  end(reason: string): void {
    if (this.#ended) return;
    this.#ended = true;
    clearTimeout(this.#silence);
    this.#bestEffort.end();
    this.#socket.destroy();
    this.#options.onEnd(this, reason);
  }

  /** The group with the next message to send; undefined if there is none. */
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

  /** Handles all complete packets and returns the offset of the rest. */
  #take(bytes: Buffer): number {
    let at = 0;
    while (!this.#ended && at < bytes.length) {
      // PUBACKs come by the thousand with four bytes each, so no parser handles them.
      if (bytes[at] === 0x40 && bytes[at + 1] === 2) {
        if (at + 4 > bytes.length) return at;
        if (!this.#window.acknowledge(bytes.readUInt16BE(at + 2))) this.end('a PUBACK out of sequence');
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

  #subscribe({ messageId, subscriptions }: ISubscribePacket): void {
    const { bestEffort } = this.#options;
    const asked = subscriptions.map(({ topic }) => topic).filter((topic) => bestEffort.offers(topic));
    const granted = subscriptions.map((each) => (asked.includes(each.topic) ? 0 : grantedFor(each)));
    this.#socket.write(mqtt.generate({ cmd: 'suback', messageId: messageId ?? 0, granted }));
    if (subscriptions.some(({ topic }) => topic === drainLogTopic)) this.#tellState();
    for (const topic of asked) this.#bestEffort.ask(topic);
    if (asked.length > 0) this.pump();
  }

  /** Tells where the log stands, so that the coordinator sees whether its database is behind. */
  #tellState(): void {
    const { uuid, accepted, buffered, drainedLogId, keptAfterLogId } = this.#options.messages;
    const database = this.#options.database.id;
    const log = uuidText(uuid);
    const state: DrainLogState = { log, accepted, buffered, drainedLogId, keptAfterLogId, database };
    const payload = JSON.stringify(state);
    this.#socket.write(
      mqtt.generate({ cmd: 'publish', topic: drainLogTopic, payload, qos: 0, dup: false, retain: false }),
    );
  }

  /**
   * The coordinator's database is behind: the messages that it lost are buffered again, and the
   * next connection begins with them.
   */
  #resend(packet: IPublishPacket): void {
    const { messages, onResend } = this.#options;
    const request = documentOf(DrainResend, packet, uuidText(messages.uuid));
    if (request === undefined) return this.end('this PUBLISH is not allowed on the drain session');
    // What was acknowledged before this packet comes first.
    this.#settle();
    const before = messages.buffered;
    void messages.sendAgain(request.afterLogId).then(() => {
      this.#socket.write(mqtt.generate({ cmd: 'puback', messageId: packet.messageId ?? 0 }), () =>
        this.end('the messages that the database lost are sent again'),
      );
    });
    onResend(request.afterLogId, messages.buffered - before);
  }

  /** Remembers the database that the coordinator drains into from now on. */
  #bind(packet: IPublishPacket): void {
    const { messages, database } = this.#options;
    const bound = documentOf(DrainDatabase, packet, uuidText(messages.uuid));
    if (bound === undefined) return this.end('this PUBLISH is not allowed on the drain session');
    void database.bind(bound.database).then(
      () => this.#socket.write(mqtt.generate({ cmd: 'puback', messageId: packet.messageId ?? 0 })),
      // The store is closing, and so is this connection: the coordinator asks again.
      () => this.end('the database could not be remembered'),
    );
  }

  #published(packet: IPublishPacket): void {
    switch (packet.topic) {
      case drainResendTopic:
        return this.#resend(packet);
      case drainDatabaseTopic:
        return this.#bind(packet);
      default:
        this.end('this PUBLISH is not allowed on the drain session');
    }
  }

  /** Handles a packet that is not a PUBACK. */
  #control(packet: Packet): void {
    switch (packet.cmd) {
      case 'pingreq':
        this.#socket.write(mqtt.generate({ cmd: 'pingresp' }));
        break;
      case 'subscribe':
        this.#subscribe(packet);
        break;
      case 'publish':
        this.#published(packet);
        break;
      case 'disconnect':
        this.end('disconnected');
        break;
      default:
        // UNSUBSCRIBE too: no client can remove the subscription of the session.
        this.end(`${packet.cmd} is not allowed on the drain session`);
    }
  }
}

/** The QoS that a subscription gets on the drain session, or the code of a refusal. */
function grantedFor({ topic, qos }: ISubscribePacket['subscriptions'][number]): 0 | 1 | 0x80 {
  if (topic === drainLogTopic) return 0;
  return topic === drainFilter && qos > 0 ? 1 : 0x80;
}

/** The document in the payload; undefined if it is not one about the log `uuid`. */
function documentOf<S extends typeof DrainResend | typeof DrainDatabase>(
  schema: S,
  { payload }: IPublishPacket,
  uuid: string,
): DocumentOf<S> | undefined {
  try {
    const document = JSON.parse(payload.toString()) as unknown;
    return isDocument(schema, document) && document.log === uuid ? document : undefined;
  } catch {
    return undefined;
  }
}

/** The offset after the packet that begins at `at`. */
export function packetEndIn(bytes: Buffer, at: number): number | 'incomplete' | 'malformed' {
  const length = readLength(bytes, at + 1);
  if (length === undefined) return 'incomplete';
  if (length === null || length.value > packetBytesMax) return 'malformed';
  const end = length.next + length.value;
  return end > bytes.length ? 'incomplete' : end;
}

/** Parses one complete packet; undefined if it is malformed. */
export function parsePacket(bytes: Buffer): Packet | undefined {
  let parsed: Packet | undefined;
  let failed = false;
  const parser = mqtt.parser({ protocolVersion: 4 }) as unknown as Parser;
  refuseIllFormedStrings(parser);
  parser.on('packet', (packet: Packet) => {
    parsed = packet;
    failed ||= violationIn(packet, parser._pos) !== undefined;
  });
  parser.on('error', () => (failed = true));
  parser.parse(bytes);
  return failed ? undefined : parsed;
}
