/**
 * The drain session, which our own code serves on the broker's port. It decides who may hold the
 * session, and serves one connection at a time. The session exists from the gateway's first start;
 * no client can end it, empty it or remove its subscription.
 */
import type { Socket } from 'node:net';
import type { CrashHook, Log } from '@thermomesh/runtime';
import mqtt, { type IConnectPacket } from 'mqtt-packet';
import { identifyDrain } from '../core/access.ts';
import type { WindowLimits } from '../core/drain-window.ts';
import type { MessageLog } from '../core/message-log.ts';
import type { RememberedDatabase } from '../storage/remembered-database.ts';
import type { BestEffortSource } from './best-effort.ts';
import { DrainConnection, packetEndIn, parsePacket, type Holder } from './drain-connection.ts';

/** CONNACK return codes [MQTT 3.1.1, 3.2.2.3]. */
const identifierRejected = 2;
const notAuthorized = 5;

export interface DrainSessionOptions {
  log: Log;
  messages: MessageLog;
  database: RememberedDatabase;
  secret: string;
  limits: WindowLimits;
  crash: CrashHook;
  /** Time limit for the rest of a CONNECT. */
  connectTimeoutMs: number;
  onRefused: () => void;
  /** What goes beside the log, at QoS 0. */
  bestEffort: BestEffortSource;
}

/** The one session through which the backlog leaves the gateway. */
export interface DrainSession {
  /**
   * Serves a connection whose CONNECT names the drain session; `first` are the bytes that were
   * read.
   */
  accept(socket: Socket, first: Buffer): void;
  /** Sends new messages that may be delivered now. */
  wake(): void;
  /** The node that is connected; undefined without one. */
  readonly holder: Holder | undefined;
  /** Number of messages sent and not acknowledged. */
  readonly inFlight: number;
  close(): void;
}

/** Makes the session; connections come through `accept`. */
export function createDrainSession(options: DrainSessionOptions): DrainSession {
  const { log, messages, database, limits, crash } = options;
  // A former process may have sent the messages that are in the log at the start.
  const sent = { logId: messages.lastLogIdAtStart };
  let current: DrainConnection | undefined;

  function onEnd(connection: DrainConnection, reason: string): void {
    if (current === connection) current = undefined;
    log.info({ event: 'drain.disconnected', ...connection.holder, reason });
  }

  function onResend(afterLogId: number, count: number): void {
    log.warn({ event: 'drain.sent_again', afterLogId, count });
  }

  /** Serves an admitted connection in place of the present one [MQTT-3.1.4-2]. */
  function admit(socket: Socket, holder: Holder, keepaliveSeconds: number): DrainConnection {
    current?.end('another connection took over');
    current = new DrainConnection({
      socket,
      holder,
      keepaliveSeconds,
      messages,
      database,
      limits,
      crash,
      sent,
      bestEffort: options.bestEffort,
      onEnd,
      onResend,
    });
    log.info({ event: 'drain.connected', ...holder });
    socket.write(mqtt.generate({ cmd: 'connack', returnCode: 0, sessionPresent: true }));
    return current;
  }

  function cutOff(socket: Socket, reason: string): void {
    options.onRefused();
    log.warn({ event: 'drain.refused', reason });
    socket.destroy();
  }

  function refuse(socket: Socket, returnCode: number, reason: string): void {
    options.onRefused();
    log.warn({ event: 'drain.refused', reason, returnCode });
    socket.write(mqtt.generate({ cmd: 'connack', returnCode, sessionPresent: false }));
    socket.destroySoon();
  }

  return {
    accept(socket, first) {
      socket.on('error', (err) => log.debug({ event: 'drain.socket_failed', err }));
      readConnect(socket, first, options.connectTimeoutMs, (packet, rest) => {
        // Without a CONNACK [MQTT-3.1.4-1].
        if (packet === undefined) return cutOff(socket, 'a malformed CONNECT');
        const judged = judge(packet, options.secret, current?.holder);
        if ('reason' in judged) return refuse(socket, judged.returnCode, judged.reason);
        const connection = admit(socket, judged.holder, packet.keepalive ?? 0);
        socket.on('data', (chunk: Buffer) => connection.receive(chunk));
        connection.receive(rest);
      });
    },
    wake: () => current?.pump(),
    get holder() {
      return current?.holder;
    },
    get inFlight() {
      return current?.inFlight ?? 0;
    },
    close: () => current?.end('the gateway is stopping'),
  };
}

/** Gathers the CONNECT and passes it on with the bytes after it; undefined if it is malformed. */
function readConnect(
  socket: Socket,
  first: Buffer,
  timeoutMs: number,
  onConnect: (packet: IConnectPacket | undefined, rest: Buffer) => void,
): void {
  let bytes = first;
  const timer = setTimeout(() => socket.destroy(), timeoutMs);
  const stop = () => {
    clearTimeout(timer);
    socket.off('data', read);
    socket.off('close', stop);
  };
  const look = () => {
    const end = packetEndIn(bytes, 0);
    if (end === 'incomplete') return;
    stop();
    const packet = end === 'malformed' ? undefined : parsePacket(bytes.subarray(0, end));
    onConnect(
      packet?.cmd === 'connect' ? packet : undefined,
      end === 'malformed' ? bytes : bytes.subarray(end),
    );
  };
  function read(chunk: Buffer): void {
    bytes = Buffer.concat([bytes, chunk]);
    look();
  }
  socket.on('data', read);
  socket.on('close', stop);
  look();
}

/** The holder that a CONNECT admits, or the reason why it is refused. */
function judge(
  packet: IConnectPacket,
  secret: string,
  current: Holder | undefined,
): { holder: Holder } | { returnCode: number; reason: string } {
  const { clientId, username, password } = packet;
  const node = identifyDrain({ clientId, username, password: password?.toString() }, secret);
  if (node === undefined) return { returnCode: notAuthorized, reason: 'not the credentials of a node' };
  // A clean session would erase messages that were acknowledged to devices (I1).
  if (packet.clean === true) return { returnCode: identifierRejected, reason: 'a clean session' };
  const epoch = node.epoch ?? null;
  // A deposed coordinator that wakes up must not take the session from its successor.
  if (current !== undefined && (current.epoch ?? 0) > (epoch ?? 0)) {
    return { returnCode: notAuthorized, reason: `epoch ${epoch ?? 'none'} is older than ${current.epoch}` };
  }
  return { holder: { nodeId: node.nodeId, epoch } };
}
