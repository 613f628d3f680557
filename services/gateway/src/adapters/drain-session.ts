/**
 * The drain session, served by own code on the broker's port: who may hold it, and one connection at a time. It exists from the
 * gateway's first start; no client can end it, empty it or take away its subscription.
 */
import type { Socket } from 'node:net';
import type { CrashHook, Log } from '@thermomesh/runtime';
import mqtt, { type IConnectPacket } from 'mqtt-packet';
import { identifyDrain } from '../core/access.ts';
import type { WindowLimits } from '../core/drain-window.ts';
import type { MessageLog } from '../core/message-log.ts';
import { DrainConnection, packetEndIn, parsePacket, type Holder } from './drain-connection.ts';

/** CONNACK return codes [MQTT 3.1.1, 3.2.2.3]. */
const unacceptableProtocol = 1;
const identifierRejected = 2;
const notAuthorized = 5;

export interface DrainSessionOptions {
  log: Log;
  messages: MessageLog;
  secret: string;
  limits: WindowLimits;
  crash: CrashHook;
  /** The rest of a CONNECT comes by then. */
  connectTimeoutMs: number;
  onRefused: () => void;
}

export interface DrainSession {
  /** Takes over a connection whose CONNECT names the drain session; `first` are the bytes read so far. */
  accept(socket: Socket, first: Buffer): void;
  /** New messages may be delivered. */
  wake(): void;
  /** Who is connected. */
  readonly holder: Holder | undefined;
  readonly inFlight: number;
  close(): void;
}

export function createDrainSession(options: DrainSessionOptions): DrainSession {
  const { log, messages, limits, crash } = options;
  // What stands in the log at the start may have been sent by the process before this one.
  const sent = { logId: messages.lastLogIdAtStart };
  let current: DrainConnection | undefined;

  function onEnd(connection: DrainConnection, reason: string): void {
    if (current === connection) current = undefined;
    log.info({ event: 'drain.disconnected', ...connection.holder, reason });
  }

  /** A CONNECT that passed: it takes the place of the connection before it [MQTT-3.1.4-2]. */
  function admit(socket: Socket, holder: Holder, keepaliveSeconds: number): DrainConnection {
    current?.end('taken over');
    current = new DrainConnection({ socket, holder, keepaliveSeconds, messages, limits, crash, sent, onEnd });
    log.info({ event: 'drain.connected', ...holder });
    socket.write(mqtt.generate({ cmd: 'connack', returnCode: 0, sessionPresent: true }));
    return current;
  }

  function refuse(socket: Socket, returnCode: number, reason: string): void {
    options.onRefused();
    log.warn({ event: 'drain.refused', reason, returnCode });
    socket.write(mqtt.generate({ cmd: 'connack', returnCode, sessionPresent: false }));
    socket.destroySoon();
  }

  return {
    accept(socket, first) {
      socket.on('error', (error) => log.debug({ event: 'drain.socket_failed', reason: error.message }));
      readConnect(socket, first, options.connectTimeoutMs, (packet, rest) => {
        if (packet === undefined) return refuse(socket, unacceptableProtocol, 'a malformed CONNECT');
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
    close: () => current?.end('the gateway stops'),
  };
}

/** Gathers the CONNECT and hands it over, with the bytes behind it; undefined if it is malformed. */
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

/** Who a CONNECT is from, or why it is refused. */
function judge(
  packet: IConnectPacket,
  secret: string,
  current: Holder | undefined,
): { holder: Holder } | { returnCode: number; reason: string } {
  const { clientId, username, password } = packet;
  const node = identifyDrain({ clientId, username, password: password?.toString() }, secret);
  if (node === undefined) return { returnCode: notAuthorized, reason: 'not the credentials of a node' };
  // A clean session would erase what is acknowledged to devices (I1).
  if (packet.clean === true) return { returnCode: identifierRejected, reason: 'a clean session' };
  const epoch = node.epoch ?? null;
  // A deposed coordinator that wakes up must not kick out its successor.
  if (current !== undefined && (current.epoch ?? 0) > (epoch ?? 0)) {
    return { returnCode: notAuthorized, reason: `epoch ${epoch ?? 'none'} is older than ${current.epoch}` };
  }
  return { holder: { nodeId: node.nodeId, epoch } };
}
