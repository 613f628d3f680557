/**
 * The drain session, served by own code on the broker's port: the log goes out in order as ready-made packets, in bulk, with a
 * window of unacknowledged messages; PUBACKs come back in receive order and free the log.
 */
import type { Socket } from 'node:net';
import { drainFilter } from '@thermomesh/contracts';
import type { CrashHook, Log } from '@thermomesh/runtime';
import mqtt, { type IConnectPacket, type ISubscribePacket, type Packet } from 'mqtt-packet';
import { identifyDrain } from '../core/access.ts';
import { createDrainWindow, type WindowLimits } from '../core/drain-window.ts';
import { indexAfter, logIdAt, packets, packetsAgain, type Group } from '../core/group.ts';
import type { MessageLog } from '../core/message-log.ts';
import { readLength } from '../core/mqtt-bytes.ts';

/** Largest packet that the coordinator sends, in bytes: CONNECT and SUBSCRIBE are small. */
const packetBytesMax = 16 * 1024;
/** Bytes that may wait in the socket's own buffer before we stop writing. */
const socketBytesMax = 1024 * 1024;

/** CONNACK return codes [MQTT 3.1.1, 3.2.2.3]. */
const identifierRejected = 2;
const notAuthorized = 5;

export interface DrainSessionOptions {
  log: Log;
  messages: MessageLog;
  secret: string;
  limits: WindowLimits;
  crash: CrashHook;
  onRefused: () => void;
}

export interface DrainSession {
  /** Takes over a connection whose CONNECT names the drain session; `first` are the bytes read so far. */
  accept(socket: Socket, first: Buffer): void;
  /** New messages may be delivered. */
  wake(): void;
  /** Who is connected. */
  readonly holder: { nodeId: number; epoch: number | null } | undefined;
  readonly inFlight: number;
  close(): void;
}

interface Connection {
  nodeId: number;
  epoch: number | null;
  inFlight(): number;
  pump(): void;
  end(reason: string): void;
}

export function createDrainSession(options: DrainSessionOptions): DrainSession {
  const { log, messages, secret } = options;
  let current: Connection | undefined;
  let sentLogId = messages.lastLogIdAtStart;
  const unnamed = new Set<Socket>();

  function refuse(socket: Socket, returnCode: number, reason: string): undefined {
    options.onRefused();
    log.warn({ event: 'drain.refused', reason, returnCode });
    socket.end(mqtt.generate({ cmd: 'connack', returnCode, sessionPresent: false }));
    socket.destroySoon();
    return undefined;
  }

  /** Checks a CONNECT; the connection that it begins, or undefined if it was refused. */
  function admit(socket: Socket, packet: IConnectPacket): Connection | undefined {
    const node = identifyDrain(
      { clientId: packet.clientId, username: packet.username, password: packet.password?.toString() },
      secret,
    );
    if (node === undefined) return refuse(socket, notAuthorized, 'not the credentials of a node');
    // A clean session would erase what is acknowledged to devices (I1).
    if (packet.clean === true) return refuse(socket, identifierRejected, 'a clean session');
    const epoch = node.epoch ?? null;
    if (current !== undefined && (current.epoch ?? 0) > (epoch ?? 0)) {
      return refuse(socket, notAuthorized, `epoch ${epoch ?? 'none'} is older than ${current.epoch}`);
    }
    current?.end('taken over');
    current = serve(socket, packet.keepalive ?? 0, node.nodeId, epoch);
    log.info({ event: 'drain.connected', node: node.nodeId, epoch });
    // The session always exists: the gateway created it before it listened.
    socket.write(mqtt.generate({ cmd: 'connack', returnCode: 0, sessionPresent: true }));
    return current;
  }

  function serve(socket: Socket, keepaliveSeconds: number, nodeId: number, epoch: number | null): Connection {
    const window = createDrainWindow(options.limits);
    let group: Group | undefined;
    let index = 0;
    let lastGroup: number | undefined;
    let ended = false;
    // [MQTT-3.1.2-24]
    if (keepaliveSeconds > 0) socket.setTimeout(keepaliveSeconds * 1500);

    /** The next message to send: `group` and `index`. */
    function advance(): boolean {
      if (group !== undefined && index < group.count) return true;
      group = messages.nextDrainGroup(lastGroup);
      if (group === undefined) return false;
      index = lastGroup === undefined ? indexAfter(group, messages.drainedLogId) : 0;
      lastGroup = group.firstLogId;
      return true;
    }

    function pump(): void {
      if (ended || socket.destroyed) return;
      socket.cork();
      while (socket.writableLength < socketBytesMax && advance()) {
        const taken = window.room(group!, index);
        if (taken === 0) break;
        send(group!, index, index + taken);
        index += taken;
      }
      socket.uncork();
    }

    function send(from: Group, start: number, end: number): void {
      const again = Math.min(Math.max(indexAfter(from, sentLogId), start), end);
      if (again > start) socket.write(packetsAgain(from, start, again));
      if (end > again) socket.write(packets(from, again, end));
      sentLogId = Math.max(sentLogId, logIdAt(from, end - 1));
      window.sent(from, start, end);
    }

    function settle(): void {
      const settled = window.settle();
      if (settled === undefined) return;
      options.crash('gateway.before-removal');
      messages.drained(settled.logId, settled.count, settled.finished);
    }

    function end(reason: string): void {
      if (ended) return;
      ended = true;
      if (current === connection) current = undefined;
      log.info({ event: 'drain.disconnected', node: nodeId, epoch, reason });
      socket.destroy();
    }

    const connection: Connection = { nodeId, epoch, inFlight: () => window.inFlight, pump, end };
    socket.on('drain', pump);
    socket.on('timeout', () => end('keep-alive is over'));
    socket.on('close', () => end('closed'));
    handlers.set(socket, {
      puback: (packetId) => window.acknowledge(packetId),
      settled: () => {
        settle();
        pump();
      },
      packet: (packet) => control(socket, packet, end),
      fault: end,
    });
    return connection;
  }

  function accept(socket: Socket, first: Buffer): void {
    unnamed.add(socket);
    socket.on('error', (error) => log.debug({ event: 'drain.socket_failed', reason: error.message }));
    socket.on('close', () => unnamed.delete(socket));
    let rest: Buffer = first;
    const read = (chunk: Buffer | undefined) => {
      if (chunk !== undefined) rest = rest.length === 0 ? chunk : Buffer.concat([rest, chunk]);
      rest = take(socket, rest);
    };
    socket.on('data', read);
    read(undefined);
  }

  /** Handles every complete packet of `bytes` and returns what is left. */
  function take(socket: Socket, bytes: Buffer): Buffer {
    let at = 0;
    let acknowledged = false;
    while (!socket.destroyed && at < bytes.length) {
      const handler = handlers.get(socket);
      if (handler !== undefined && bytes[at] === 0x40 && bytes[at + 1] === 2) {
        if (at + 4 > bytes.length) break;
        if (!handler.puback(bytes.readUInt16BE(at + 2))) {
          if (acknowledged) handler.settled();
          handler.fault('a PUBACK out of order');
          return empty;
        }
        acknowledged = true;
        at += 4;
        continue;
      }
      const length = readLength(bytes, at + 1);
      if (length === null || (length !== undefined && length.value > packetBytesMax)) {
        fault(socket, 'a malformed or oversized packet');
        return empty;
      }
      if (length === undefined || length.next + length.value > bytes.length) break;
      const packet = parse(bytes.subarray(at, length.next + length.value));
      at = length.next + length.value;
      if (packet === undefined) fault(socket, 'a malformed packet');
      else if (handler !== undefined) handler.packet(packet);
      else if (packet.cmd !== 'connect' || admit(socket, packet) === undefined) unnamed.delete(socket);
      else current?.pump();
      if (handlers.get(socket) === undefined) return empty;
    }
    if (acknowledged) handlers.get(socket)?.settled();
    return at === bytes.length ? empty : bytes.subarray(at);
  }

  function fault(socket: Socket, reason: string): void {
    handlers.get(socket)?.fault(reason);
    socket.destroy();
  }

  return {
    accept,
    wake: () => current?.pump(),
    get holder() {
      return current && { nodeId: current.nodeId, epoch: current.epoch };
    },
    get inFlight() {
      return current?.inFlight() ?? 0;
    },
    close() {
      current?.end('the gateway stops');
      for (const socket of unnamed) socket.destroy();
    },
  };
}

/** How the packets of an admitted connection are handled. */
interface Handler {
  puback(packetId: number): boolean;
  settled(): void;
  packet(packet: Packet): void;
  fault(reason: string): void;
}
const handlers = new WeakMap<Socket, Handler>();
const empty = Buffer.alloc(0);

/** Everything but PUBACK. */
function control(socket: Socket, packet: Packet, end: (reason: string) => void): void {
  switch (packet.cmd) {
    case 'pingreq':
      return void socket.write(mqtt.generate({ cmd: 'pingresp' }));
    case 'subscribe':
      return void socket.write(suback(packet));
    case 'disconnect':
      return end('disconnected');
    default:
      // UNSUBSCRIBE among them: the session keeps its subscription whatever a client asks.
      return end(`${packet.cmd} is not allowed on the drain session`);
  }
}

function suback({ messageId, subscriptions }: ISubscribePacket): Buffer {
  const granted = subscriptions.map(({ topic, qos }) => (topic === drainFilter && qos > 0 ? 1 : 0x80));
  return mqtt.generate({ cmd: 'suback', messageId: messageId ?? 0, granted });
}

/** One complete packet; undefined if it is malformed. */
function parse(bytes: Buffer): Packet | undefined {
  let parsed: Packet | undefined;
  const parser = mqtt.parser({ protocolVersion: 4 });
  parser.on('packet', (packet: Packet) => (parsed = packet));
  parser.on('error', () => (parsed = undefined));
  parser.parse(bytes);
  return parsed;
}
