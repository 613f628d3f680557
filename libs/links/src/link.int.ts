import assert from 'node:assert/strict';
import { fork } from 'node:child_process';
import { once } from 'node:events';
import { connect, createServer, type AddressInfo, type Server, type Socket } from 'node:net';
import { afterEach, beforeEach, describe, it } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
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
let heard: string;
const clients: Socket[] = [];

/** A server that keeps what it hears, and says whatever it is told. */
beforeEach(async () => {
  accepted = [];
  heard = '';
  server = createServer({ allowHalfOpen: true }, (socket) => {
    accepted.push(socket);
    socket.on('error', () => undefined);
    socket.on('data', (bytes: Buffer) => (heard += bytes.toString()));
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
  said: () => string;
  fate: () => string | undefined;
}

async function dial(): Promise<Client> {
  const socket = connect({ port: link.port, host, allowHalfOpen: true });
  clients.push(socket);
  let said = '';
  let fate: string | undefined;
  socket.on('data', (bytes: Buffer) => (said += bytes.toString()));
  socket.on('end', () => (fate ??= 'end'));
  socket.on('error', (error: NodeJS.ErrnoException) => (fate = error.code));
  socket.on('close', () => (fate ??= 'close'));
  await until(() => socket.readyState === 'open' || fate !== undefined, 'the outcome of the dial');
  return { socket, said: () => said, fate: () => fate };
}

async function until(holds: () => boolean, what: string): Promise<void> {
  const deadline = Date.now() + deadlineMs;
  while (!holds()) {
    if (Date.now() > deadline) throw new Error(`waited in vain for ${what}`);
    await delay(5);
  }
}

/** What was under way when nothing passes has had its chance to get through: another link, opened later, has. */
async function otherTrafficPasses(): Promise<void> {
  const other = await openLink({ name: 'other', port: 0, target: { host, port: targetPort() } });
  const before = accepted.length;
  const socket = connect({ port: other.port, host });
  socket.on('error', () => undefined);
  await until(() => accepted.length > before, 'the other link');
  accepted[accepted.length - 1]?.write('round');
  const [bytes] = (await once(socket, 'data')) as [Buffer];
  assert.equal(bytes.toString(), 'round');
  await other.close();
}

describe('a link', () => {
  it('passes both ways, and half-closes as TCP does', async () => {
    await open();
    const { socket, said, fate } = await dial();
    socket.end('question');
    await until(() => heard === 'question', 'the question');
    accepted[0]?.end('answer');
    await until(() => said() === 'answer' && fate() === 'end', 'the answer and the end');
    await until(() => link.connections() === 0, 'nothing to be left');
  });

  it('a cut resets both ends and refuses new connections; healed, the same port takes them again', async () => {
    await open();
    const { port } = link;
    const { socket, fate } = await dial();
    socket.write('x');
    await until(() => heard === 'x', 'a byte');
    await link.set(cut);
    await until(() => fate() !== undefined && accepted[0]?.destroyed === true, 'both resets');
    assert.equal(fate(), 'ECONNRESET');
    assert.equal((await dial()).fate(), 'ECONNREFUSED');
    await link.set(passing);
    assert.equal(link.port, port);
    (await dial()).socket.write('y');
    await until(() => heard === 'xy', 'a byte after the heal');
  });

  it('a stall drops in silence: open sockets stay open, and what waits arrives after the heal, in order', async () => {
    await open();
    const { socket, said, fate } = await dial();
    socket.write('1');
    await until(() => heard === '1', 'a byte');
    await link.set(silent);
    socket.write('2');
    accepted[0]?.write('a');
    await otherTrafficPasses();
    assert.deepEqual([heard, said(), fate()], ['1', '', undefined]);
    socket.write('3');
    await link.set(passing);
    await until(() => heard === '123' && said() === 'a', 'what had waited');
  });

  it('a stall hides even the death of an end until it heals', async () => {
    await open();
    const { socket } = await dial();
    socket.write('1');
    await until(() => heard === '1', 'a byte');
    await link.set(silent);
    socket.destroy();
    await otherTrafficPasses();
    assert.equal(accepted[0]?.closed, false);
    assert.equal(accepted[0]?.readableEnded, false);
    await link.set(passing);
    await until(() => accepted[0]?.readableEnded === true || accepted[0]?.closed === true, 'the end');
  });

  it('one way: what goes forward arrives, what comes back does not, until it heals', async () => {
    await open();
    const { socket, said } = await dial();
    socket.write('1');
    await until(() => heard === '1', 'a byte');
    await link.set({ ...silent, direction: 'backward' });
    accepted[0]?.write('a');
    socket.write('2');
    await until(() => heard === '12', 'the forward way');
    await otherTrafficPasses();
    assert.equal(said(), '');
    await link.set({ ...silent, direction: 'forward' });
    socket.write('3');
    await until(() => said() === 'a', 'the backward way');
    assert.equal(heard, '12');
  });

  it('a connection made during a stall reaches nobody until it heals', async () => {
    await open();
    await link.set(silent);
    (await dial()).socket.write('late');
    await otherTrafficPasses();
    assert.equal(heard, '');
    await link.set(passing);
    await until(() => heard === 'late', 'the late bytes');
  });

  it('a sender whose link stalls is not read for ever: memory stays bounded', async () => {
    await open({ queueBytesMax: 64 * 1024 });
    const { socket } = await dial();
    socket.write('1');
    await until(() => heard === '1', 'a byte');
    await link.set({ ...passing, delayMs: 60_000 });
    const chunk = Buffer.alloc(1024 * 1024, 'x');
    // The kernel's buffers and the link's take some of it; what they do not take stays with the sender.
    for (let sent = 0; sent < 64; sent += 1) socket.write(chunk);
    await otherTrafficPasses();
    assert.ok(socket.writableLength > 32 * 1024 * 1024, `${socket.writableLength} bytes wait at the sender`);
    assert.equal(heard, '1');
  });

  it('late and narrow links change nothing of what arrives, nor its order', async () => {
    await open();
    await link.set({ ...passing, delayMs: 20, bytesPerSecond: 200_000 });
    const { socket, said } = await dial();
    const text = Array.from({ length: 5_000 }, (_, index) => `${index},`).join('');
    socket.end(text);
    await until(() => heard.length === text.length, 'all bytes');
    assert.equal(heard, text);
    accepted[0]?.end('answer');
    await until(() => said() === 'answer', 'the answer');
  });

  it('a target that is gone looks gone', async () => {
    await open();
    server.close();
    const { fate } = await dial();
    await until(() => fate() !== undefined, 'the reset');
    assert.equal(fate(), 'ECONNRESET');
    server = createServer().listen(0, host);
    await once(server, 'listening');
  });

  it('more connections than its limit are turned away', async () => {
    await open({ connectionsMax: 1 });
    const { socket } = await dial();
    socket.write('1');
    await until(() => heard === '1', 'the first');
    const second = await dial();
    await until(() => second.fate() !== undefined, 'the reset of the second');
    assert.equal(link.connections(), 1);
  });

  it('cuts and heals in a hurry end as the last one said', async () => {
    await open();
    await Promise.all([cut, passing, silent, cut, passing].map(async (condition) => link.set(condition)));
    (await dial()).socket.write('x');
    await until(() => heard === 'x', 'a byte');
  });
});

describe('a set of links', () => {
  it('an unknown name changes nothing, and a second one of the same name is refused', async () => {
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

  it('a port that is taken is named, and nothing is left open', async () => {
    await open();
    const free = { name: 'free', port: 0, target: { host, port: targetPort() } };
    await assert.rejects(openLinks([free, { ...free, name: 'taken', port: targetPort() }]), {
      code: 'links.port_taken',
      message: /taken/,
    });
  });
});

describe('a target that never answers the dial', () => {
  it('closing-while-it-dials ends at once and leaves no handle behind', async () => {
    // A process that accepts nothing: its queue is full after a few connections, and the kernel answers no more.
    const deaf = fork(new URL('./testing/deaf-server.ts', import.meta.url));
    try {
      const [port] = (await once(deaf, 'message')) as [number];
      const limits = { ...defaultLinkLimits, dialTimeoutMs: 10 * deadlineMs };
      link = await openLink({ name: 'a:deaf', port: 0, target: { host, port } }, limits);
      for (let number = 0; number < 8; number++) await dial();
      await until(() => link.connections() === 8, 'all are taken');
      await link.close();
      for (const socket of clients.splice(0)) socket.destroy();
      const left = () =>
        process.getActiveResourcesInfo().filter((name) => /^(TCPSocket|TCPConnect)/.test(name));
      await until(() => left().length === 0, 'no connection is left');
    } finally {
      deaf.kill('SIGKILL');
      await once(deaf, 'exit');
    }
  });
});
