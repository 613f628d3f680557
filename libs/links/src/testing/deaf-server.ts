/** A child process that listens, reports its port and never accepts; its parent kills it. */
import { createServer, type AddressInfo } from 'node:net';

const server = createServer();
server.listen({ host: '127.0.0.1', port: 0, backlog: 1 }, () => {
  process.send?.((server.address() as AddressInfo).port, () => {
    // The thread sleeps until the process is killed; the event loop of libuv stops with it.
    Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0);
  });
});
