import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { after, before, describe, it, type TestContext } from 'node:test';
import { createLog, MeshError } from '@thermomesh/runtime';
import { testRedis, type TestRedis } from '@thermomesh/servers';
import { until } from '@thermomesh/testing';
import { Redis } from 'ioredis';
import type { WorkQueue, WorkQueueOptions } from '../core/ports.ts';
import { createBullQueue } from './bull-queue.ts';

/** Time limit for a call of Redis in tests that must not miss Redis. */
const patientMs = 10_000;
/** Time limit for a call of Redis in tests that expect Redis to be missed soon. */
const hastyMs = 100;
let redis: TestRedis;
before(async () => {
  redis = await testRedis();
});
after(() => redis.remove());

/**
 * Starts a queue with a name of its own, and waits until it can be used. The time limits are long
 * enough for a machine that stalls: no job changes its worker and no call of Redis fails.
 */
async function start(t: TestContext, options: Partial<WorkQueueOptions> = {}): Promise<WorkQueue> {
  const queue = createBullQueue({
    url: redis.server.url,
    name: `test-${randomUUID()}`,
    concurrency: 4,
    lockMs: 5_000,
    stalledIntervalMs: 100,
    checkMs: patientMs,
    backoff: { minMs: 10, maxMs: 20 },
    work: async () => undefined,
    onReady: () => undefined,
    log: createLog('test', 'silent'),
    ...options,
  });
  t.after(() => queue.stop(Date.now()));
  queue.start();
  await until('Redis to be found', () => queue.unavailable() === undefined);
  return queue;
}

/**
 * Adds ids until Redis takes them, because a call may exceed `hastyMs`. A client that is not
 * connected refuses at once, so the tries have pauses: without them the event loop would never
 * turn.
 */
async function addTo(queue: WorkQueue, ids: string[]): Promise<void> {
  const isTaken = async () =>
    queue.add(ids).then(
      () => true,
      () => false,
    );
  await until('Redis to take the work', isTaken, { timeoutMs: patientMs });
}

describe('the queue', () => {
  it('the queue tries again until the work succeeds; Redis stores only error codes', async (t) => {
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
    await until('a second try', () => tries.length === 2);
    const job = JSON.stringify(await client.hgetall(`thermomesh:${name}:${id}`));
    assert.match(job, /billing\.timeout/);
    assert.doesNotMatch(job, /tok/);
    looked.resolve(undefined);
    await until('the last try', () => tries.length === 4);
    assert.deepEqual(new Set(tries), new Set([id]));
    for (;;) if ((await client.exists(`thermomesh:${name}:${id}`)) === 0) break;
  });

  it('a checkout is one job while it waits or runs, and can be added again later', async (t) => {
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
    await until('the work', () => done.length === 1);
    const other = randomUUID();
    await queue.add([other]);
    await until('work that came later', () => done.includes(other));
    assert.deepEqual(done, [id, other]);
    // The removal of the first job may still be under way, so the test adds the id repeatedly.
    await until('the same work again', () => (void queue.add([id]), done.length > 2));
  });
});

describe('Redis', () => {
  it('adding fails at once while Redis is down; the relay is woken when it is back', async (t) => {
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
    await until('Redis to be missed', () => queue.unavailable()?.code === 'checkout.redis_down');
    await assert.rejects(queue.add([randomUUID()]));
    await redis.restart();
    await until('Redis to be found again', () => ready > before);
    const id = randomUUID();
    await addTo(queue, [id]);
    await until('work after the restart', () => done.includes(id));
  });

  it('a frozen Redis is noticed, and no caller waits for it', async (t) => {
    const queue = await start(t, { checkMs: hastyMs });
    process.kill(redis.server.pid, 'SIGSTOP');
    try {
      await until('Redis to be missed', () => queue.unavailable()?.code === 'checkout.redis_down');
      await assert.rejects(queue.add([randomUUID()]));
    } finally {
      process.kill(redis.server.pid, 'SIGCONT');
    }
    await until('Redis to be found again', () => queue.unavailable() === undefined);
  });

  it('a Redis that may lose work is refused, also if its settings change later', async (t) => {
    const queue = await start(t, { checkMs: hastyMs });
    const client = new Redis(redis.server.url);
    t.after(() => client.disconnect());
    for (const [name, bad, good] of [
      ['maxmemory-policy', 'allkeys-lru', 'noeviction'],
      ['appendonly', 'no', 'yes'],
    ] as const) {
      await client.config('SET', name, bad);
      await until(`${name} to be noticed`, () => queue.unavailable()?.code === 'checkout.redis_unsafe');
      await client.config('SET', name, good);
      await until(`${name} to be right again`, () => queue.unavailable() === undefined);
    }
  });
});

describe('a stop', () => {
  it('a stop waits for the work under way and takes no more', async (t) => {
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
    await until('the work to begin', () => events.length === 1);
    const stopped = queue.stop(Date.now() + 60_000).then(() => events.push('stopped'));
    release();
    await stopped;
    assert.deepEqual(events, ['begin a1', 'end a1', 'stopped']);
  });

  it('a stop ends by its deadline although work hangs and Redis is down', async (t) => {
    let release = () => undefined as void;
    let begun = false;
    const held = new Promise<void>((resolve) => (release = resolve));
    const queue = await start(t, {
      checkMs: hastyMs,
      lockMs: 500,
      work: () => {
        begun = true;
        return held;
      },
    });
    await addTo(queue, [randomUUID()]);
    await until('the work to begin', () => begun);
    await redis.server.kill();
    await queue.stop(Date.now() + 50);
    // The work ends only now, so the stop has not waited for it.
    release();
    await redis.restart();
  });
});
