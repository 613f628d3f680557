/** A TCP proxy for tests: it can freeze (sockets stay open, nothing passes) and sever (sockets break). */
import { createServer, connect, type AddressInfo, type Socket } from 'node:net';
import { once } from 'node:events';

export interface TcpProxy {
  port: number;
  /** From now on nothing passes, and nobody is told. */
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
      // What was open is long given up at both ends.
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
