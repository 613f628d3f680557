/**
 * The broker's TCP port. It reads the client id from the first bytes of each connection, and passes
 * the connection to the drain session or to Aedes.
 */
import { once } from 'node:events';
import { createServer, type AddressInfo, type Server, type Socket } from 'node:net';
import { drainClientId } from '@thermomesh/contracts';
import { portError, type Log } from '@thermomesh/runtime';
import mqtt from 'mqtt-packet';
import { sniffConnect } from '../core/connect-sniffer.ts';

export interface ListenerOptions {
  host: string;
  port: number;
  connectionsMax: number;
  /** Time limit for the CONNECT of a new connection. */
  connectTimeoutMs: number;
  /** Maximum size of a CONNECT. */
  connectBytesMax: number;
  log: Log;
  onDrain: (socket: Socket, first: Buffer) => void;
  onClient: (socket: Socket) => void;
  onRefused: () => void;
}

/** The TCP server of the broker. */
export interface MqttListener {
  /** Listens, and resolves with the port. */
  listen(): Promise<number>;
  /** Accepts no more connections, and closes those whose CONNECT has not come. */
  stopIntake(): void;
  /** Closes all other connections. */
  close(): Promise<void>;
  readonly connections: number;
}

/**
 * Length of the kernel's queue of new connections: a fleet that reconnects all at once waits there.
 * The kernel may allow less.
 */
const pendingConnectionsMax = 4096;

/** Makes the server; it listens after `listen`. */
export function createMqttListener(options: ListenerOptions): MqttListener {
  const { log, connectionsMax, connectTimeoutMs, connectBytesMax } = options;
  const sockets = new Set<Socket>();
  const unknown = new Set<Socket>();
  const server: Server = createServer({ noDelay: true, keepAlive: true }, (socket) => {
    sockets.add(socket);
    socket.once('close', () => sockets.delete(socket));
    identify(socket);
  });
  server.maxConnections = connectionsMax;
  server.on('drop', () => refuse(undefined, 'too many connections'));

  function refuse(socket: Socket | undefined, reason: string): void {
    options.onRefused();
    log.warn({ event: 'connection.refused', reason, address: socket?.remoteAddress });
    socket?.destroy();
  }

  /**
   * Refuses with a CONNACK in the format of MQTT 3.1.1, also for clients of other versions: those
   * of MQTT 5 expect this answer of a broker that is older than they are.
   */
  function answer(socket: Socket, { returnCode, reason }: Refusal): void {
    options.onRefused();
    log.warn({ event: 'connection.refused', reason, address: socket.remoteAddress });
    socket.end(mqtt.generate({ cmd: 'connack', returnCode, sessionPresent: false }));
    // Bytes that are left unread when a socket closes can destroy the answer on its way.
    socket.resume();
    const timer = setTimeout(() => socket.destroy(), connectTimeoutMs);
    socket.once('close', () => clearTimeout(timer));
  }

  function identify(socket: Socket): void {
    unknown.add(socket);
    readFirst(socket, { connectTimeoutMs, connectBytesMax }, (outcome) => {
      unknown.delete(socket);
      // The client closed the connection without a CONNECT, like a port check does.
      if (outcome === 'closed') return;
      if ('returnCode' in outcome) return answer(socket, outcome);
      if ('reason' in outcome) return refuse(socket, outcome.reason);
      if (outcome.clientId === drainClientId) {
        options.onDrain(socket, outcome.bytes);
        socket.resume();
      } else {
        socket.unshift(outcome.bytes);
        options.onClient(socket);
      }
    });
  }

  return {
    async listen() {
      server.listen({ host: options.host, port: options.port, backlog: pendingConnectionsMax });
      await once(server, 'listening').catch((error: unknown) => {
        throw portError(error, options.port, 'MQTT_PORT') ?? error;
      });
      return (server.address() as AddressInfo).port;
    },
    stopIntake() {
      if (server.listening) server.close();
      for (const socket of unknown) socket.destroy();
    },
    async close() {
      if (server.listening) server.close();
      const open = [...sockets].filter((socket) => !socket.destroyed);
      const gone = open.map((socket) => once(socket, 'close'));
      for (const socket of open) socket.destroy();
      await Promise.all(gone);
    },
    get connections() {
      return sockets.size;
    },
  };
}

/** The CONNACK return code and the reason with which a CONNECT must be refused. */
interface Refusal {
  returnCode: 1 | 2;
  reason: string;
}

/**
 * The client id and the bytes read, or the reason why the connection must be refused or closed;
 * 'closed' if the client has closed it.
 */
type Outcome = { clientId: string; bytes: Buffer } | Refusal | { reason: string } | 'closed';

/** Gathers bytes until they contain the client id. */
function readFirst(
  socket: Socket,
  limits: { connectTimeoutMs: number; connectBytesMax: number },
  done: (outcome: Outcome) => void,
): void {
  let bytes: Buffer = Buffer.alloc(0);
  const timer = setTimeout(() => finish({ reason: 'no CONNECT in time' }), limits.connectTimeoutMs);
  // 'close' follows each error, and is enough to know before the client is identified.
  const ignore = () => undefined;
  function finish(outcome: Outcome): void {
    clearTimeout(timer);
    socket.off('readable', read);
    socket.off('close', closed);
    done(outcome);
    // The new owner of the socket handles errors now.
    if (typeof outcome === 'object' && 'clientId' in outcome) socket.off('error', ignore);
  }
  const closed = () => finish('closed');
  function read(): void {
    const chunk = socket.read() as Buffer | null;
    if (chunk === null) return;
    bytes = bytes.length === 0 ? chunk : Buffer.concat([bytes, chunk]);
    const found = sniffConnect(bytes, limits.connectBytesMax);
    if (found.kind === 'garbage') finish({ reason: found.reason });
    if (found.kind === 'refused') finish({ returnCode: found.returnCode, reason: found.reason });
    if (found.kind === 'connect') finish({ clientId: found.clientId, bytes });
  }
  socket.on('error', ignore);
  socket.on('close', closed);
  socket.on('readable', read);
}
