/** The broker's TCP port: looks at the first bytes of each connection and hands it to the drain session or to Aedes. */
import { once } from 'node:events';
import { createServer, type AddressInfo, type Server, type Socket } from 'node:net';
import { drainClientId } from '@thermomesh/contracts';
import type { Log } from '@thermomesh/runtime';
import { readFirstBytes } from '../core/first-bytes.ts';

export interface ListenerOptions {
  host: string;
  port: number;
  connectionsMax: number;
  /** A connection that has not said who it is by then is closed. */
  connectTimeoutMs: number;
  connectBytesMax: number;
  log: Log;
  onDrain: (socket: Socket, first: Buffer) => void;
  onClient: (socket: Socket) => void;
  onRefused: () => void;
}

export interface MqttListener {
  /** Resolves with the port. */
  listen(): Promise<number>;
  /** Takes no more connections; those that have not said who they are are closed. */
  stopIntake(): void;
  /** Closes every connection that is left. */
  close(): Promise<void>;
  readonly connections: number;
}

/** A fleet that comes back all at once waits in the kernel's queue instead of dialling again; the kernel may allow less. */
const pendingConnectionsMax = 4096;

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

  function identify(socket: Socket): void {
    unknown.add(socket);
    readFirst(socket, { connectTimeoutMs, connectBytesMax }, (outcome) => {
      unknown.delete(socket);
      // Somebody looked whether the port is open.
      if (outcome === 'closed') return;
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
      await once(server, 'listening');
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

/** What the first bytes of a connection said, or why it is to be closed; 'closed' if it has ended by itself. */
type Outcome = { clientId: string; bytes: Buffer } | { reason: string } | 'closed';

/** Gathers bytes until they say who is there. */
function readFirst(
  socket: Socket,
  limits: { connectTimeoutMs: number; connectBytesMax: number },
  done: (outcome: Outcome) => void,
): void {
  let bytes: Buffer = Buffer.alloc(0);
  const timer = setTimeout(() => finish({ reason: 'no CONNECT in time' }), limits.connectTimeoutMs);
  // 'close' follows an error and says all that matters before anybody is known.
  const ignore = () => undefined;
  function finish(outcome: Outcome): void {
    clearTimeout(timer);
    socket.off('readable', read);
    socket.off('close', closed);
    done(outcome);
    // Whoever has taken the socket over listens now.
    if (typeof outcome === 'object' && 'clientId' in outcome) socket.off('error', ignore);
  }
  const closed = () => finish('closed');
  function read(): void {
    const chunk = socket.read() as Buffer | null;
    if (chunk === null) return;
    bytes = bytes.length === 0 ? chunk : Buffer.concat([bytes, chunk]);
    const found = readFirstBytes(bytes, limits.connectBytesMax);
    if (found.kind === 'garbage') finish({ reason: found.reason });
    if (found.kind === 'connect') finish({ clientId: found.clientId, bytes });
  }
  socket.on('error', ignore);
  socket.on('close', closed);
  socket.on('readable', read);
}
