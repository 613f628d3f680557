/**
 * From the handshake to the close: what a broken or silent connection costs, and what remains at
 * the end.
 */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { passing } from '@thermomesh/links';
import { fourLetterWord } from '@thermomesh/servers';
import { until } from '@thermomesh/testing';
import { endingSessionMs, testTickTimeMs } from '../testing/clients.ts';
import { useZooKeeper } from '../testing/use-zookeeper.ts';
import type { WatchEvent } from './types.ts';
import { ZooKeeper } from './zookeeper.ts';

const { clients, ensemble, freshNode } = useZooKeeper();

const bytes = (text: string) => Buffer.from(text);

describe('the session', () => {
  it('the session reports the timeout that the server granted', async () => {
    const zk = await clients.connect({ sessionTimeoutMs: 100 });
    assert.equal(zk.session?.timeoutMs, 2 * testTickTimeMs);
  });

  it('a request that is cut off in flight is rejected as one that may have happened', async () => {
    const { zk, link } = await clients.connectThroughLink();
    const path = await freshNode(zk);
    await link.set({ ...passing, state: 'stall', direction: 'backward' });
    const create = zk.create(`${path}/a`);
    const other = await clients.connect();
    await until('the server to have done it', async () => (await other.exists(`${path}/a`)) !== undefined);
    await link.set({ ...passing, state: 'cut' });
    await assert.rejects(create, { code: 'zookeeper.connection_loss', retriable: true, applied: 'unknown' });
    await assert.rejects(zk.create(`${path}/b`), {
      code: 'zookeeper.not_connected',
      retriable: true,
      applied: 'no',
    });
  });

  it('a silent link suspends the session, loses it, and a new one follows', async () => {
    const { zk, link, phases } = await clients.connectThroughLink({
      sessionTimeoutMs: endingSessionMs,
    });
    const path = await freshNode(zk);
    await zk.create(`${path}/mine`, bytes(''), { mode: 'ephemeral' });
    const session = await zk.whenConnected();
    phases.length = 0;
    await link.set({ ...passing, state: 'stall' });
    await until('the deadline', () => !zk.mayAct(session));
    await until('the loss', () => phases.includes('lost'));
    await link.set(passing);
    const next = await zk.whenConnected();
    assert.deepEqual(phases, ['suspended', 'lost', 'connected']);
    assert.equal(next.number, session.number + 1);
    assert.equal(zk.mayAct(session), false);
    await until('the ephemeral node to go', async () => (await zk.exists(`${path}/mine`)) === undefined);
  });

  it('a frozen server is noticed, and so is its handshake that never ends', async () => {
    const { zk, phases } = await clients.connectThroughLink({
      sessionTimeoutMs: endingSessionMs,
      limits: { handshakeTimeoutMs: 200 },
    });
    phases.length = 0;
    await ensemble().members[0]?.pause();
    try {
      await until('the loss', () => zk.phase === 'lost');
    } finally {
      await ensemble().members[0]?.resume();
    }
    await zk.whenConnected({ timeoutMs: 20_000 });
    assert.deepEqual(phases, ['suspended', 'lost', 'connected']);
  });

  it('a close frees ephemeral nodes at once, refuses later calls, leaves nothing open', async () => {
    const other = await clients.connect();
    const path = await freshNode(other);
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
      'the handles to go',
      () => process.getActiveResourcesInfo().filter((each) => each !== 'Timeout').length <= before,
    );
  });

  it('credentials of an unknown scheme end the client with the reason', async () => {
    const zk = new ZooKeeper({
      hosts: ensemble().hosts,
      auth: [{ scheme: 'unknown' as 'digest', secret: 'a:b' }],
    });
    zk.start();
    await until('the refusal', () => zk.phase === 'closed');
    await assert.rejects(zk.exists('/'), { code: 'zookeeper.closed' });
    await zk.close();
  });

  it('watchers at rest send no requests: the server counts only pings', async () => {
    // Pings come every third of the session's timeout.
    const zk = await clients.connect({ sessionTimeoutMs: endingSessionMs });
    const path = await freshNode(zk);
    const watches = [zk.watchData(path), zk.watchChildren(path), zk.watchData(`${path}/none`)];
    let moves = 0;
    zk.onPhase(() => (moves += 1));
    const port = ensemble().members[0]?.server.port ?? 0;
    // `cons` lists each connection's packets and its last operation.
    const line = async (id: bigint) =>
      (await fourLetterWord(port, 'cons', 2_000))
        ?.split('\n')
        .find((each) => each.includes(id.toString(16))) ?? '';
    const packets = async (id: bigint) => Number(/recved=([0-9]+)/.exec(await line(id))?.[1]);
    /** False if the client has reconnected meanwhile: then it rightly asked again. */
    const rest = async () => {
      const { id } = await zk.whenConnected();
      await until('the watches', () => watches.every(({ fresh }) => fresh));
      const asked = () => [moves, zk.requestsMade, ...watches.map(({ reads }) => reads)];
      const before = asked();
      const start = await packets(id);
      if (Number.isNaN(start)) return false;
      await until('two packets', async () => moves !== before[0] || (await packets(id)) >= start + 2);
      const last = await line(id);
      if (moves !== before[0]) return false;
      assert.match(last, /lop=PING/);
      assert.deepEqual(asked(), before);
      return true;
    };
    await until('some time on one connection', rest);
    await Promise.all(watches.map(async (watch) => watch.close()));
  });
});
