/**
 * What a client may and may not rely on when its server lags behind, and how recipes behave when
 * servers die.
 */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { passing } from '@thermomesh/links';
import { until } from '@thermomesh/testing';
import { SharedCounter } from '../recipes/values/shared-counter.ts';
import { TaskAssignment } from '../recipes/tasks/task-assignment.ts';
import { leaderOf } from '../testing/looks.ts';
import { useZooKeeper } from '../testing/use-zookeeper.ts';

/** Maximum number of reads until an old answer occurs; it usually takes a few. */
const readsMax = 200;
const timeoutMs = 60_000;
const { clients, ensemble } = useZooKeeper({ servers: 3, reviveServers: true });

const bytes = (text: string) => Buffer.from(text);

describe('what a client of a server that lags behind may rely on', () => {
  /** Finds a server that is not the leader, and the addresses of the others. */
  async function follower() {
    const leader = await leaderOf(ensemble());
    const slow = ensemble().members.find(({ id }) => id !== leader.id);
    assert.ok(slow);
    const hosts = ensemble()
      .members.filter(({ id }) => id !== slow.id)
      .map(({ host }) => host);
    return { slow, hosts: hosts.join() };
  }

  it('a read without sync may return old data; a read with sync does not', async (t) => {
    const { slow, hosts } = await follower();
    const writer = await clients.connect({ hosts });
    const reader = await clients.connect({ hosts: slow.host });
    await writer.create('/lag', bytes('old'));
    await reader.sync('/lag');
    // A request to the frozen server waits in its socket beside what the leader has sent: the
    // server may read either first.
    let stale = false;
    let rounds = 0;
    for (; rounds < readsMax && !stale; rounds += 1) {
      await slow.pause();
      await writer.setData('/lag', bytes(`new ${rounds}`));
      // Sent after the write was acknowledged, and yet the answer may not include it.
      const plain = reader.getData('/lag');
      await slow.resume();
      stale = (await plain).data.toString() !== `new ${rounds}`;
      const [, { data }] = await Promise.all([reader.sync('/lag'), reader.getData('/lag')]);
      assert.equal(data.toString(), `new ${rounds}`);
    }
    t.diagnostic(`old after ${rounds} reads`);
    assert.ok(stale);
  });

  it('a watch fires before the new data arrives, even if both come together', async () => {
    const { slow, hosts } = await follower();
    const writer = await clients.connect({ hosts });
    const { zk, link } = await clients.connectThroughLink({ target: slow.host });
    await writer.create('/event', bytes('old'));
    await zk.sync('/event');
    const seen: string[] = [];
    const read = async () => void seen.push((await zk.getData('/event')).data.toString());
    await zk.getData('/event', (event) => seen.push(event));
    // The answers wait in the link, behind the event.
    await link.set({ ...passing, state: 'stall', direction: 'backward' });
    const reads = [read()];
    await writer.setData('/event', bytes('new'));
    // The server has answered this after its sync, although the answer has not arrived yet.
    const synced = zk.sync('/event');
    reads.push(...Array.from({ length: 10 }, read));
    const mark = zk.create('/event/mark');
    await until('the answers', async () => (await writer.exists('/event/mark')) !== undefined);
    await link.set(passing);
    await Promise.all([synced, mark, ...reads]);
    assert.match(seen.filter((each) => each !== 'old').join(), /^changed(,new){10,11}$/);
  });

  it('pipelined writes of one client happen in its order, also over a delayed link', async () => {
    const { slow } = await follower();
    const { zk, link } = await clients.connectThroughLink({ target: slow.host });
    await zk.create('/sequence');
    await link.set({ ...passing, delayMs: 20 });
    const other = await clients.connect();
    const versions = new Map<number, string>();
    await using watch = other.watchData('/sequence');
    watch.subscribe((node) => {
      if (node !== undefined) versions.set(node.stat.version, node.data.toString());
    });
    await Promise.all(
      Array.from({ length: 30 }, async (_, index) => zk.setData('/sequence', bytes(String(index + 1)))),
    );
    await until('the last write', () => watch.current?.value?.stat.version === 30);
    // Whatever other clients see is a prefix: the version shows which one.
    for (const [version, text] of versions) assert.equal(text, version === 0 ? '' : String(version));
  });

  it('of many writes that expect the same version, on any server, exactly one wins', async () => {
    const all = await Promise.all(
      ensemble().members.map(async ({ host }) => clients.connect({ hosts: host })),
    );
    await all[0]?.create('/linear', bytes('0'));
    const won: number[] = [];
    await Promise.all(
      all.map(async (zk) => {
        for (let wins = 0; wins < 10;) {
          const [, { stat }] = await Promise.all([zk.sync('/linear'), zk.getData('/linear')]);
          const result = await zk.setData('/linear', bytes('x'), stat.version).catch(() => undefined);
          if (result === undefined) continue;
          won.push(result.version);
          wins += 1;
        }
      }),
    );
    assert.deepEqual(
      won.toSorted((left, right) => left - right),
      Array.from({ length: 30 }, (_, index) => index + 1),
    );
  });
});

describe('while one server after another is killed, the leader among them', () => {
  it('each task has one result and each increment counts once while servers die', async (t) => {
    const failures: unknown[] = [];
    const recorded = new Map<string, number>();
    const path = '/dying/tasks';
    const workers = await Promise.all(
      [1, 2, 3].map(async (number) =>
        new TaskAssignment(await clients.connect(), {
          path,
          id: `worker-${number}`,
          slots: 2,
          execute: async (payload) => payload,
          onSettled: (id, settlement) => {
            if (settlement === 'recorded') recorded.set(id, (recorded.get(id) ?? 0) + 1);
          },
          onFailed: (error) => failures.push(error),
        }).start(),
      ),
    );
    const counters = await Promise.all(
      [1, 2].map(async () => new SharedCounter(await clients.connect(), { path: '/dying/counter' }).start()),
    );
    let over = false;
    const killing = (async () => {
      for (const member of ensemble().members) {
        await member.kill();
        await ensemble().untilServing(2);
        await member.restart();
        await ensemble().untilServing(3);
      }
      over = true;
    })();
    const [first] = workers;
    assert.ok(first);
    let submitted = 0;
    const tasks = (async () => {
      while (!over) {
        const id = await first.submit(submitted, { id: `task-${submitted}`, timeoutMs });
        assert.deepEqual(await first.result(id, { timeoutMs }), { ok: true, value: submitted });
        submitted += 1;
      }
    })();
    let added = 0n;
    const counts = counters.map(async (counter) => {
      while (!over) {
        await counter.add(1n, { timeoutMs });
        added += 1n;
      }
    });
    await Promise.all([killing, tasks, ...counts]);
    t.diagnostic(`${submitted} tasks, ${added} counts`);
    assert.equal((await counters[0]?.read())?.value, added);
    assert.ok([...recorded.values()].every((times) => times === 1));
    assert.deepEqual([failures, await first.outstanding()], [[], []]);
    await Promise.all([...workers, ...counters].map(async (each) => each.close()));
  });
});
