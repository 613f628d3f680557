/**
 * A TCP proxy for tests. It can freeze connections (they stay open, and nothing passes) and sever
 * them.
 */
import { createServer, connect, type AddressInfo, type Socket } from 'node:net';
import { once } from 'node:events';

export interface TcpProxy {
  port: number;
  /** Keeps the connections open and lets nothing pass, not even their end. */
  freeze(): void;
  thaw(): void;
  /** Destroys every connection. */
  sever(): void;
  close(): Promise<void>;
}

/** Listens on a free port of 127.0.0.1 and passes everything on to `targetPort`. */
export async function startTcpProxy(targetPort: number): Promise<TcpProxy> {
  const sockets = new Set<Socket>();
  let frozen = false;
  const server = createServer((near) => {
    const far = connect(targetPort, '127.0.0.1');
    join(near, far);
    join(far, near);
  });
  function join(source: Socket, target: Socket): void {
    sockets.add(source);
    if (frozen) source.pause();
    source.on('data', (bytes) => target.write(bytes));
    if (frozen) source.pause();
    source.on('error', () => target.destroy());
    source.on('close', () => {
      sockets.delete(source);
      if (!frozen) target.destroy();
    });
  }
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return {
    port: (server.address() as AddressInfo).port,
    freeze() {
      frozen = true;
      for (const socket of sockets) socket.pause();
    },
    thaw() {
      frozen = false;
      // Both ends have long given up the connections.
      for (const socket of sockets) socket.destroy();
    },
    sever() {
      for (const socket of sockets) socket.destroy();
    },
    async close() {
      for (const socket of sockets) socket.destroy();
      server.close();
      await once(server, 'close');
    },
  };
}
