/**
 * A TCP proxy in front of an HTTP server. It loses whole requests on their way in, or whole replies
 * on their way out.
 */
import { once } from 'node:events';
import { connect, createServer, type AddressInfo, type Socket } from 'node:net';

/** What the proxy loses of one exchange; with `none`, request and reply pass. */
export type Loss = 'request' | 'reply' | 'none';

export interface LossyProxy {
  url: string;
  /**
   * Sets the losses of the next requests, one for each, on any connection; later requests pass.
   * Replaces the losses of the previous call.
   */
  lose(...losses: readonly Loss[]): void;
  close(): Promise<void>;
}

/**
 * Starts a proxy that passes everything to `targetPort` of 127.0.0.1. Requests on one connection
 * must not be pipelined.
 */
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
      // The request is discarded, and the connection with it: the server receives nothing.
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
