import assert from 'node:assert/strict';
import { fork } from 'node:child_process';
import { once } from 'node:events';
import { connect, createServer, type AddressInfo, type Server, type Socket } from 'node:net';
import { afterEach, beforeEach, describe, it } from 'node:test';
import { until } from '@thermomesh/testing';
import { passing, type LinkCondition } from './condition.ts';
import { defaultLinkLimits, type LinkLimits } from './limits.ts';
import { openLink, type Link } from './link.ts';
import { openLinks } from './links.ts';

const host = '127.0.0.1';
const deadlineMs = 20_000;
const silent: LinkCondition = { ...passing, state: 'stall' };
const cut: LinkCondition = { ...passing, state: 'cut' };

let server: Server;
let accepted: Socket[];
let link: Link;
let arrived: string;
const clients: Socket[] = [];

/** Starts a server that records what it receives. */
beforeEach(async () => {
  accepted = [];
  arrived = '';
  server = createServer({ allowHalfOpen: true }, (socket) => {
    accepted.push(socket);
    socket.on('error', () => undefined);
    socket.on('data', (bytes: Buffer) => (arrived += bytes.toString()));
  });
  server.listen(0, host);
  await once(server, 'listening');
});
afterEach(async () => {
  await link.close();
  for (const socket of [...accepted, ...clients.splice(0)]) socket.destroy();
  server.close();
});

const targetPort = () => (server.address() as AddressInfo).port;
async function open(limits?: Partial<LinkLimits>): Promise<void> {
  link = await openLink(
    { name: 'a:b', port: 0, target: { host, port: targetPort() } },
    { ...defaultLinkLimits, ...limits },
  );
}

interface Client {
  socket: Socket;
  received: () => string;
  ending: () => string | undefined;
}

async function dial(): Promise<Client> {
  const socket = connect({ port: link.port, host, allowHalfOpen: true });
  clients.push(socket);
  let received = '';
  let ending: string | undefined;
  socket.on('data', (bytes: Buffer) => (received += bytes.toString()));
  socket.on('end', () => (ending ??= 'end'));
  socket.on('error', (error: NodeJS.ErrnoException) => (ending = error.code));
  socket.on('close', () => (ending ??= 'close'));
  await until('the outcome of the dial', () => socket.readyState === 'open' || ending !== undefined);
  return { socket, received: () => received, ending: () => ending };
}

/**
 * Waits until a link that was opened later has passed traffic: bytes that this link did not hold
 * back would have arrived by then.
 */
async function otherTrafficPasses(): Promise<void> {
  const other = await openLink({ name: 'other', port: 0, target: { host, port: targetPort() } });
  const before = accepted.length;
  const socket = connect({ port: other.port, host });
  socket.on('error', () => undefined);
  await until('the other link', () => accepted.length > before);
  accepted[accepted.length - 1]?.write('round');
  const [bytes] = (await once(socket, 'data')) as [Buffer];
  assert.equal(bytes.toString(), 'round');
  await other.close();
}

describe('a link', () => {
  it('a link passes both ways, and half-closes as TCP does', async () => {
    await open();
    const { socket, received, ending } = await dial();
    socket.end('question');
    await until('the question', () => arrived === 'question');
    accepted[0]?.end('answer');
    await until('the answer and the end', () => received() === 'answer' && ending() === 'end');
    await until('nothing to be left', () => link.connections() === 0);
  });

  it('a cut resets both ends and refuses connections; after a heal the port accepts', async () => {
    await open();
    const { port } = link;
    const { socket, ending } = await dial();
    socket.write('x');
    await until('a byte', () => arrived === 'x');
    await link.set(cut);
    await until('both resets', () => ending() !== undefined && accepted[0]?.destroyed === true);
    assert.equal(ending(), 'ECONNRESET');
    assert.equal((await dial()).ending(), 'ECONNREFUSED');
    await link.set(passing);
    assert.equal(link.port, port);
    (await dial()).socket.write('y');
    await until('a byte after the heal', () => arrived === 'xy');
  });

  it('a stall keeps sockets open, and waiting bytes arrive in sequence after the heal', async () => {
    await open();
    const { socket, received, ending } = await dial();
    socket.write('1');
    await until('a byte', () => arrived === '1');
    await link.set(silent);
    socket.write('2');
    accepted[0]?.write('a');
    await otherTrafficPasses();
    assert.deepEqual([arrived, received(), ending()], ['1', '', undefined]);
    socket.write('3');
    await link.set(passing);
    await until('what had waited', () => arrived === '123' && received() === 'a');
  });

  it('a stall hides even the death of an end until the heal', async () => {
    await open();
    const { socket } = await dial();
    socket.write('1');
    await until('a byte', () => arrived === '1');
    await link.set(silent);
    socket.destroy();
    await otherTrafficPasses();
    assert.equal(accepted[0]?.closed, false);
    assert.equal(accepted[0]?.readableEnded, false);
    await link.set(passing);
    await until('the end', () => accepted[0]?.readableEnded === true || accepted[0]?.closed === true);
  });

  it('a one-way stall holds back the bytes of its direction only, until the heal', async () => {
    await open();
    const { socket, received } = await dial();
    socket.write('1');
    await until('a byte', () => arrived === '1');
    await link.set({ ...silent, direction: 'backward' });
    accepted[0]?.write('a');
    socket.write('2');
    await until('the forward way', () => arrived === '12');
    await otherTrafficPasses();
    assert.equal(received(), '');
    await link.set({ ...silent, direction: 'forward' });
    socket.write('3');
    await until('the backward way', () => received() === 'a');
    assert.equal(arrived, '12');
  });

  it('a connection made during a stall does not reach the target until the heal', async () => {
    await open();
    await link.set(silent);
    (await dial()).socket.write('late');
    await otherTrafficPasses();
    assert.equal(arrived, '');
    await link.set(passing);
    await until('the late bytes', () => arrived === 'late');
  });

  it('a link that is slow stops reading from the sender: memory stays bounded', async () => {
    await open({ queueBytesMax: 64 * 1024 });
    const { socket } = await dial();
    socket.write('1');
    await until('a byte', () => arrived === '1');
    await link.set({ ...passing, delayMs: 60_000 });
    const chunk = Buffer.alloc(1024 * 1024, 'x');
    // The buffers of the kernel and of the link take some of it; the rest stays with the sender.
    for (let sent = 0; sent < 64; sent += 1) socket.write(chunk);
    await otherTrafficPasses();
    assert.ok(socket.writableLength > 32 * 1024 * 1024, `${socket.writableLength} bytes wait at the sender`);
    assert.equal(arrived, '1');
  });

  it('delay and rate limit change neither the bytes nor their sequence', async () => {
    await open();
    await link.set({ ...passing, delayMs: 20, bytesPerSecond: 200_000 });
    const { socket, received } = await dial();
    const text = Array.from({ length: 5_000 }, (_, index) => `${index},`).join('');
    socket.end(text);
    await until('all bytes', () => arrived.length === text.length);
    assert.equal(arrived, text);
    accepted[0]?.end('answer');
    await until('the answer', () => received() === 'answer');
  });

  it('a connection to a target that is gone is reset', async () => {
    await open();
    server.close();
    const { ending } = await dial();
    await until('the reset', () => ending() !== undefined);
    assert.equal(ending(), 'ECONNRESET');
    server = createServer().listen(0, host);
    await once(server, 'listening');
  });

  it('connections above the limit of a link are reset', async () => {
    await open({ connectionsMax: 1 });
    const { socket } = await dial();
    socket.write('1');
    await until('the first', () => arrived === '1');
    const second = await dial();
    await until('the reset of the second', () => second.ending() !== undefined);
    assert.equal(link.connections(), 1);
  });

  it('concurrent changes of a condition end with the last one', async () => {
    await open();
    await Promise.all([cut, passing, silent, cut, passing].map(async (condition) => link.set(condition)));
    (await dial()).socket.write('x');
    await until('a byte', () => arrived === 'x');
  });
});

describe('a set of links', () => {
  it('an unknown link changes nothing, and a second link of the same name is refused', async () => {
    await open();
    const spec = { name: 'one', port: 0, target: { host, port: targetPort() } };
    await assert.rejects(openLinks([spec, spec]), { code: 'links.duplicate' });
    const links = await openLinks([spec]);
    await assert.rejects(links.set({ one: cut, other: cut }), { code: 'links.unknown' });
    assert.deepEqual(
      links.report().map(({ name, condition }) => [name, condition]),
      [['one', passing]],
    );
    await links.set({ one: cut });
    await links.heal();
    assert.equal(links.report()[0]?.condition.state, 'pass');
    await links.close();
  });

  it('a taken port is reported with its link, and no link stays open', async () => {
    await open();
    const free = { name: 'free', port: 0, target: { host, port: targetPort() } };
    await assert.rejects(openLinks([free, { ...free, name: 'taken', port: targetPort() }]), {
      code: 'links.port_taken',
      message: /taken/,
    });
  });
});

describe('a target that never answers the dial', () => {
  it('closing a link that still dials ends at once and leaves no handle behind', async () => {
    // The process accepts nothing: its queue is full after a few connections, and then the kernel
    // stops answering.
    const deaf = fork(new URL('./testing/deaf-server.ts', import.meta.url));
    try {
      const [port] = (await once(deaf, 'message')) as [number];
      const limits = { ...defaultLinkLimits, dialTimeoutMs: 10 * deadlineMs };
      link = await openLink({ name: 'a:deaf', port: 0, target: { host, port } }, limits);
      for (let number = 0; number < 8; number++) await dial();
      await until('all are taken', () => link.connections() === 8);
      await link.close();
      for (const socket of clients.splice(0)) socket.destroy();
      const left = () =>
        process.getActiveResourcesInfo().filter((name) => /^(TCPSocket|TCPConnect)/.test(name));
      await until('no connection is left', () => left().length === 0);
    } finally {
      deaf.kill('SIGKILL');
      await once(deaf, 'exit');
    }
  });
});
