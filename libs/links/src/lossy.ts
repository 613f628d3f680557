/** A TCP proxy in front of an HTTP server that loses whole requests on their way in, or whole replies on their way out. */
import { once } from 'node:events';
import { connect, createServer, type AddressInfo, type Socket } from 'node:net';

/** What becomes of one request; `none`: it and its reply pass. */
export type Loss = 'request' | 'reply' | 'none';

export interface LossyProxy {
  url: string;
  /** One for each, in order, of the requests that come next, on whatever connection; later ones pass. Replaces what was said before. */
  lose(...losses: readonly Loss[]): void;
  close(): Promise<void>;
}

/** Passes everything on to `targetPort` of 127.0.0.1. Requests of one connection must not be pipelined. */
export async function startLossyProxy(targetPort: number): Promise<LossyProxy> {
  const sockets = new Set<Socket>();
  let losses: Loss[] = [];
  const server = createServer((near) => {
    const far = connect(targetPort, '127.0.0.1');
    let losing: Loss | undefined;
    for (const [socket, other] of [
      [near, far],
      [far, near],
    ] as const) {
      sockets.add(socket);
      socket.on('error', () => other.destroy());
      socket.on('close', () => {
        sockets.delete(socket);
        other.destroy();
      });
    }
    near.on('data', (bytes: Buffer) => {
      if (/^(GET|POST) /.test(bytes.toString('latin1', 0, 5))) losing = losses.shift();
      // Without a word: what came in is read and thrown away with the connection.
      if (losing === 'request') near.destroy();
      else far.write(bytes);
    });
    far.on('data', (bytes: Buffer) => {
      if (losing === 'reply') near.destroy();
      else near.write(bytes);
    });
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    lose: (...more) => void (losses = [...more]),
    async close() {
      for (const socket of sockets) socket.destroy();
      server.close();
      await once(server, 'close');
    },
  };
}
