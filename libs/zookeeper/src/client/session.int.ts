/** From the handshake to the close: what a connection that breaks or falls silent costs, and what is left at the end. */
import assert from 'node:assert/strict';
import { after, afterEach, before, describe, it } from 'node:test';
import { passing } from '@thermomesh/links';
import { fourLetterWord, testZooKeeper, type TestEnsemble } from '@thermomesh/servers';
import { endingSessionMs, TestClients, testServers, testTickTimeMs } from '../testing/clients.ts';
import { until } from '../testing/until.ts';
import type { WatchEvent } from './types.ts';
import { ZooKeeper } from './zookeeper.ts';

let server: TestEnsemble;
let clients: TestClients;
before(async () => {
  server = await testZooKeeper(testServers);
  clients = new TestClients(server.hosts);
});
after(async () => server.remove());
afterEach(async () => {
  await clients.closeAll();
  assert.deepEqual(clients.faults, []);
});

const bytes = (text: string) => Buffer.from(text);
let used = 0;
/** A node of its own for each test. */
async function place(zk: ZooKeeper): Promise<string> {
  const path = `/place-${(used += 1)}`;
  await zk.create(path);
  return path;
}

describe('the session', () => {
  it('reads back the timeout that the server granted', async () => {
    const zk = await clients.connect({ sessionTimeoutMs: 100 });
    assert.equal(zk.session?.timeoutMs, 2 * testTickTimeMs);
  });

  it('a request under way when the connection is cut may have happened, and says so', async () => {
    const { zk, link } = await clients.connectThroughLink();
    const path = await place(zk);
    await link.set({ ...passing, state: 'stall', direction: 'backward' });
    const create = zk.create(`${path}/a`);
    const other = await clients.connect();
    await until(async () => (await other.exists(`${path}/a`)) !== undefined, 'the server to have done it');
    await link.set({ ...passing, state: 'cut' });
    await assert.rejects(create, { code: 'zookeeper.connection_loss', retriable: true, applied: 'unknown' });
    await assert.rejects(zk.create(`${path}/b`), {
      code: 'zookeeper.not_connected',
      retriable: true,
      applied: 'no',
    });
  });

  it('a silent link is noticed though the socket stays open: suspended, then lost, then a new session', async () => {
    const { zk, link, phases } = await clients.connectThroughLink({
      sessionTimeoutMs: endingSessionMs,
    });
    const path = await place(zk);
    await zk.create(`${path}/mine`, bytes(''), { mode: 'ephemeral' });
    const session = await zk.whenConnected();
    phases.length = 0;
    await link.set({ ...passing, state: 'stall' });
    await until(() => !zk.mayAct(session), 'the deadline');
    await until(() => phases.includes('lost'), 'the loss');
    await link.set(passing);
    const next = await zk.whenConnected();
    assert.deepEqual(phases, ['suspended', 'lost', 'connected']);
    assert.equal(next.number, session.number + 1);
    assert.equal(zk.mayAct(session), false);
    await until(async () => (await zk.exists(`${path}/mine`)) === undefined, 'the ephemeral node to go');
  });

  it('a frozen server is noticed, and so is its handshake that never ends', async () => {
    const { zk, phases } = await clients.connectThroughLink({
      sessionTimeoutMs: endingSessionMs,
      limits: { handshakeTimeoutMs: 200 },
    });
    phases.length = 0;
    await server.members[0]?.pause();
    try {
      await until(() => zk.phase === 'lost', 'the loss');
    } finally {
      await server.members[0]?.resume();
    }
    await zk.whenConnected({ timeoutMs: 20_000 });
    assert.deepEqual(phases, ['suspended', 'lost', 'connected']);
  });

  it('a close frees the ephemeral nodes at once, refuses what comes after, and leaves nothing open', async () => {
    const other = await clients.connect();
    const path = await place(other);
    const zk = await clients.connect();
    await zk.create(`${path}/mine`, bytes(''), { mode: 'ephemeral' });
    const gone = Promise.withResolvers<WatchEvent>();
    await other.sync(path);
    await other.exists(`${path}/mine`, gone.resolve);
    const watch = zk.watchData(path);
    await watch.first();
    await zk.close();
    assert.equal(await gone.promise, 'deleted');
    assert.equal(zk.phase, 'closed');
    await assert.rejects(zk.exists(path), { code: 'zookeeper.closed', retriable: false });
    await assert.rejects(zk.whenConnected(), { code: 'zookeeper.closed' });
    await watch.close();
    await zk.close();
  });

  it('a client that never reached a server can be closed', async () => {
    const zk = new ZooKeeper({ hosts: '127.0.0.1:1' });
    await zk.close();
    const dialling = new ZooKeeper({ hosts: '127.0.0.1:1' });
    dialling.start();
    const waiting = assert.rejects(dialling.whenConnected(), { code: 'zookeeper.closed' });
    await dialling.close();
    await waiting;
  });

  it('no handle is left after a close', async () => {
    const before = process.getActiveResourcesInfo().filter((each) => each !== 'Timeout').length;
    const opened = await Promise.all([clients.connect(), clients.connect(), clients.connect()]);
    for (const zk of opened) await zk.close();
    await until(
      () => process.getActiveResourcesInfo().filter((each) => each !== 'Timeout').length <= before,
      'the handles to go',
    );
  });

  it('wrong credentials of a scheme unknown to the server end the client with the reason', async () => {
    const zk = new ZooKeeper({
      hosts: server.hosts,
      auth: [{ scheme: 'unknown' as 'digest', secret: 'a:b' }],
    });
    zk.start();
    await until(() => zk.phase === 'closed', 'the refusal');
    await assert.rejects(zk.exists('/'), { code: 'zookeeper.closed' });
    await zk.close();
  });

  it('watchers at rest ask nothing: the server counts pings only', async () => {
    // Pings come at a third of the session.
    const zk = await clients.connect({ sessionTimeoutMs: endingSessionMs });
    const path = await place(zk);
    const watches = [zk.watchData(path), zk.watchChildren(path), zk.watchData(`${path}/none`)];
    let moves = 0;
    zk.onPhase(() => (moves += 1));
    const port = server.members[0]?.server.port ?? 0;
    // `cons` shows each connection's packets and its last operation.
    const line = async (id: bigint) =>
      (await fourLetterWord(port, 'cons', 2_000))
        ?.split('\n')
        .find((each) => each.includes(id.toString(16))) ?? '';
    const packets = async (id: bigint) => Number(/recved=([0-9]+)/.exec(await line(id))?.[1]);
    /** False if the connection was made anew meanwhile: then they have rightly asked again. */
    const rest = async () => {
      const { id } = await zk.whenConnected();
      await until(() => watches.every(({ fresh }) => fresh), 'the watches');
      const asked = () => [moves, zk.requestsMade, ...watches.map(({ reads }) => reads)];
      const before = asked();
      const start = await packets(id);
      if (Number.isNaN(start)) return false;
      await until(async () => moves !== before[0] || (await packets(id)) >= start + 2, 'two packets');
      const last = await line(id);
      if (moves !== before[0]) return false;
      assert.match(last, /lop=PING/);
      assert.deepEqual(asked(), before);
      return true;
    };
    await until(rest, 'some time on one connection');
    await Promise.all(watches.map(async (watch) => watch.close()));
  });
});
