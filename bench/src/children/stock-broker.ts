/**
 * Aedes without changes: persistence in memory, PUBACK before the message is stored, and one
 * persistent session that subscribes to every reading.
 */
import { once } from 'node:events';
import { connect, createServer, type AddressInfo, type Socket } from 'node:net';
import { drainFilter } from '@thermomesh/contracts';
import { Aedes } from 'aedes';
import { generate, parser as createParser, type Packet } from 'mqtt-packet';
import { serve } from './serve.ts';

/** The session that queues messages, as the coordinator's session does. */
const sessionClientId = 'bench-session';

let broker = await Aedes.createBroker();
const server = createServer({ noDelay: true }, (socket) => broker.handle(socket));
server.listen(0, '127.0.0.1');
await once(server, 'listening');
const { port } = server.address() as AddressInfo;

async function answerOf(socket: Socket, cmd: Packet['cmd']): Promise<void> {
  const parser = createParser({ protocolVersion: 4 });
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  parser.on('packet', (packet: Packet) => {
    if (packet.cmd === cmd) resolve();
  });
  const read = (chunk: Buffer) => parser.parse(chunk);
  const gone = () => reject(new Error(`closed before ${cmd}`));
  socket.on('data', read);
  socket.once('close', gone);
  await promise;
  socket.off('data', read);
  socket.off('close', gone);
}

/** Opens the session once, so that the broker keeps its subscription. */
async function subscribe(): Promise<void> {
  const socket = connect({ host: '127.0.0.1', port, noDelay: true });
  const packet = { cmd: 'connect', protocolId: 'MQTT', protocolVersion: 4, keepalive: 0 } as const;
  socket.write(generate({ ...packet, clean: false, clientId: sessionClientId }));
  await answerOf(socket, 'connack');
  socket.write(generate({ cmd: 'subscribe', messageId: 1, subscriptions: [{ topic: drainFilter, qos: 1 }] }));
  await answerOf(socket, 'suback');
  socket.end(generate({ cmd: 'disconnect' }));
  await once(socket, 'close');
}

serve({
  port: () => port,
  /**
   * Makes a new broker in this process, whose code stays compiled. Its session is subscribed and
   * disconnected, so the broker queues every publish for it. Clients have to connect again. (A
   * clean CONNECT would empty the queue too, but takes time that grows with the square of its
   * length.)
   */
  renew: async () => {
    const old = broker;
    broker = await Aedes.createBroker();
    await new Promise<void>((resolve) => old.close(resolve));
    await subscribe();
  },
});
