import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { after, before, describe, it, type TestContext } from 'node:test';
import { createLog, MeshError } from '@thermomesh/runtime';
import { testRedis, type TestRedis } from '@thermomesh/servers';
import { until } from '../../adapters/testing/mqtt-client.ts';
import { createBullQueue, type BullQueue, type BullQueueOptions } from './bull-queue.ts';
import { Redis } from 'ioredis';

/** A call of Redis is given up then. */
const patientMs = 10_000;
/** The same, where Redis is to be missed soon, or to be looked at again soon. */
const hastyMs = 100;
let redis: TestRedis;
before(async () => {
  redis = await testRedis();
});
after(() => redis.remove());

/** A queue of the test's own, ready for use. A machine that stalls takes no work from who has it, and no call of Redis is given up. */
async function start(t: TestContext, options: Partial<BullQueueOptions> = {}): Promise<BullQueue> {
  const queue = createBullQueue({
    url: redis.server.url,
    name: `test-${randomUUID()}`,
    concurrency: 4,
    lockMs: 5_000,
    stalledIntervalMs: 100,
    checkMs: patientMs,
    backoff: { firstMs: 10, maxMs: 20 },
    work: async () => undefined,
    onReady: () => undefined,
    log: createLog('test', 'silent'),
    ...options,
  });
  t.after(() => queue.stop(Date.now()));
  queue.start();
  await until(() => queue.fault() === undefined, 'Redis to be found');
  return queue;
}

/** Until Redis takes it: who is hasty may have given it up. */
async function addTo(queue: BullQueue, ids: string[]): Promise<void> {
  for (;;) {
    const taken = await queue.add(ids).then(
      () => true,
      () => false,
    );
    if (taken) return;
  }
}

describe('the queue', () => {
  it('tries again until the work succeeds; what Redis holds of a failure is its code', async (t) => {
    const tries: string[] = [];
    const name = `test-${randomUUID()}`;
    let fails = 3;
    const looked = Promise.withResolvers<undefined>();
    const queue = await start(t, {
      name,
      work: async (id) => {
        tries.push(id);
        if (tries.length === 2) await looked.promise;
        if (fails-- > 0)
          throw new MeshError('billing.timeout', 'a secret: tok_4242', { cause: new Error('tok') });
      },
    });
    const id = randomUUID();
    await queue.add([id]);
    const client = new Redis(redis.server.url);
    t.after(() => client.disconnect());
    await until(() => tries.length === 2, 'a second try');
    const job = JSON.stringify(await client.hgetall(`thermomesh:${name}:${id}`));
    assert.match(job, /billing\.timeout/);
    assert.doesNotMatch(job, /tok/);
    looked.resolve(undefined);
    await until(() => tries.length === 4, 'the last try');
    assert.deepEqual(new Set(tries), new Set([id]));
    for (;;) if ((await client.exists(`thermomesh:${name}:${id}`)) === 0) break;
  });

  it('the same checkout is one job while it waits or runs, and may come again afterwards', async (t) => {
    let release = () => undefined as void;
    const held = new Promise<void>((resolve) => (release = resolve));
    const done: string[] = [];
    const queue = await start(t, {
      work: async (id) => {
        await held;
        done.push(id);
      },
    });
    const id = randomUUID();
    await queue.add([id]);
    await queue.add([id, id]);
    release();
    await until(() => done.length === 1, 'the work');
    const other = randomUUID();
    await queue.add([other]);
    await until(() => done.includes(other), 'work that came later');
    assert.deepEqual(done, [id, other]);
    // The removal of the first job may still be under way.
    await until(() => (void queue.add([id]), done.length > 2), 'the same work again');
  });
});

describe('Redis', () => {
  it('is found again after a kill -9, and told to the relay; while it is away adding fails at once', async (t) => {
    let ready = 0;
    const done: string[] = [];
    const queue = await start(t, {
      checkMs: hastyMs,
      onReady: () => (ready += 1),
      work: async (id) => done.push(id),
    });
    assert.ok(ready > 0);
    const before = ready;
    await redis.server.kill();
    await until(() => queue.fault()?.code === 'checkout.redis_down', 'Redis to be missed');
    await assert.rejects(queue.add([randomUUID()]));
    await redis.restart();
    await until(() => ready > before, 'Redis to be found again');
    const id = randomUUID();
    await addTo(queue, [id]);
    await until(() => done.includes(id), 'work after the restart');
  });

  it('that is frozen is missed, and nobody waits for it', async (t) => {
    const queue = await start(t, { checkMs: hastyMs });
    process.kill(redis.server.pid, 'SIGSTOP');
    try {
      await until(() => queue.fault()?.code === 'checkout.redis_down', 'Redis to be missed');
      await assert.rejects(queue.add([randomUUID()]));
    } finally {
      process.kill(redis.server.pid, 'SIGCONT');
    }
    await until(() => queue.fault() === undefined, 'Redis to be found again');
  });

  it('that-may-lose-work-is-refused, also when the settings change while it runs', async (t) => {
    const queue = await start(t, { checkMs: hastyMs });
    const client = new Redis(redis.server.url);
    t.after(() => client.disconnect());
    for (const [name, bad, good] of [
      ['maxmemory-policy', 'allkeys-lru', 'noeviction'],
      ['appendonly', 'no', 'yes'],
    ] as const) {
      await client.config('SET', name, bad);
      await until(() => queue.fault()?.code === 'checkout.redis_unsafe', `${name} to be noticed`);
      await client.config('SET', name, good);
      await until(() => queue.fault() === undefined, `${name} to be right again`);
    }
  });
});

describe('a stop', () => {
  it('waits for the work under way, and takes no more', async (t) => {
    let release = () => undefined as void;
    const held = new Promise<void>((resolve) => (release = resolve));
    const events: string[] = [];
    const queue = await start(t, {
      concurrency: 1,
      work: async (id) => {
        events.push(`begin ${id}`);
        await held;
        events.push(`end ${id}`);
      },
    });
    await queue.add(['a1', 'b2']);
    await until(() => events.length === 1, 'the work to begin');
    const stopped = queue.stop(Date.now() + 60_000).then(() => events.push('stopped'));
    release();
    await stopped;
    assert.deepEqual(events, ['begin a1', 'end a1', 'stopped']);
  });

  it('ends by its deadline although work hangs and Redis is away', async (t) => {
    let release = () => undefined as void;
    let begun = false;
    const held = new Promise<void>((resolve) => (release = resolve));
    const queue = await start(t, {
      ...{ checkMs: hastyMs, lockMs: 500 },
      work: () => {
        begun = true;
        return held;
      },
    });
    await addTo(queue, [randomUUID()]);
    await until(() => begun, 'the work to begin');
    await redis.server.kill();
    await queue.stop(Date.now() + 50);
    // Only now: the stop has not waited for it, and the process may end.
    release();
    await redis.restart();
  });
});
