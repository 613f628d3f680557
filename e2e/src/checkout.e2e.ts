import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import path from 'node:path';
import { after, afterEach, before, describe, it } from 'node:test';
import { startLossyProxy, type LossyProxy } from '@thermomesh/links';
import { until } from '@thermomesh/mesh/testing';
import type { CrashPoint } from '@thermomesh/runtime';
import { order } from './billing-support.ts';
import {
  acceptedId,
  attemptsOf,
  billingDies,
  call,
  flushRedis,
  gatewayDies,
  lostAtBilling,
  metricsOf,
  orderUntilAccepted,
  readEvents,
  startCheckoutMesh,
  untilAccepting,
  untilFinal,
  untilHeld,
  untilIdle,
  untilStored,
  viewOf,
  type Answer,
  type Fault,
  type Mesh,
} from './checkout-support.ts';
import { crashAt, untilHit, waitMs } from './support.ts';

let mesh: Mesh;
let proxy: LossyProxy;
let bearer: string;
const direct = () => mesh.gateway.url;

before(async () => {
  mesh = await startCheckoutMesh();
  proxy = await startLossyProxy(mesh.gateway.httpPort);
  bearer = await mesh.apiKey(['checkout']);
  await untilAccepting(direct());
});
afterEach(async () => {
  for (const link of [proxy, ...mesh.billingLinks]) link.lose();
  await mesh.billing.faults({});
});
after(async () => {
  await proxy.close();
  await mesh.remove();
});

/** How a customer orders. A duplicate is one of five calls at once under one key. */
const ways = ['a first try', 'a retry', 'a duplicate'] as const;
type Way = (typeof ways)[number];

/** Orders in one way while a fault strikes, and repeats the order until there is an answer. */
async function cell(name: string, way: Way, { prepare, strike, struck }: Fault): Promise<void> {
  const key = randomUUID();
  const which = `${name}-${way}`.replaceAll(/\W+/g, '-');
  await prepare?.(which);
  const url = proxy.url;
  const calls = Array.from({ length: way === 'a duplicate' ? 5 : 1 }, () =>
    call(url, { bearer, key, body: order }),
  );
  const [answers] = await Promise.all([Promise.all(calls), strike?.(key, which)]);
  // A customer that has a 202 repeats the order only in the ways that demand it.
  const answered = answers.some(({ status }) => status === 202);
  for (let again = way === 'a first try' ? (answered ? 0 : 1) : 3; again > 0; again--)
    answers.push(await orderUntilAccepted(direct(), bearer, key));
  await assertOnce(key, answers);
  assert.notEqual(await struck?.(key), false, 'the fault has not struck');
}

/**
 * There is one checkout, the processor's own ledger has one charge, and all answers are the same
 * bytes (I3, I5).
 */
async function assertOnce(key: string, answers: readonly Answer[]): Promise<void> {
  for (const { status, text } of answers) assert.ok([0, 202, 503].includes(status), `${status}: ${text}`);
  const accepted = answers.filter(({ status }) => status === 202);
  assert.ok(accepted.length > 0, 'no call got a 202');
  assert.equal(new Set(accepted.map(({ text }) => text)).size, 1);
  const checkoutId = acceptedId(accepted[0]!);
  const finals = [
    await untilFinal(direct(), bearer, checkoutId),
    await untilFinal(proxy.url, bearer, checkoutId),
  ];
  const { views } = await readEvents(direct(), bearer, checkoutId);
  const texts = [...finals.map(({ text }) => text), ...views.map((view) => JSON.stringify(view))];
  assert.equal(new Set(texts).size, 1);
  const view = viewOf(texts[0]!);
  assert.equal(view.status, 'charged');
  assert.equal(await mesh.billing.charges(view.transactionId), 1);
  const orders = await mesh.billing.sql.query('SELECT 1 FROM checkouts WHERE customer_key = $1', [key]);
  assert.equal(orders.length, 1);
}

/** Makes the processor slow, so that a process that dies meanwhile has work under way. */
const slowly = async () => mesh.billing.faults({ next: ['delay'], delayMs: 300 });

const faults: Record<string, Fault> = {
  'the request is lost': { prepare: async () => proxy.lose('request') },
  'the reply is lost': { prepare: async () => proxy.lose('reply') },
  'the processor hangs': { prepare: async () => mesh.billing.faults({ next: ['hang'] }) },
  'the request to billing is lost': lostAtBilling(() => mesh, 'request'),
  'the reply of billing is lost': lostAtBilling(() => mesh, 'reply'),
  'the replica that holds the payment is killed': {
    // The processor answers no call before the holder is dead.
    prepare: async () => mesh.billing.faults({ rates: { hang: 1 } }),
    async strike(key) {
      const holder = await untilHeld(mesh, key);
      await holder.signal('SIGKILL');
      await mesh.billing.faults({});
      await holder.start();
    },
    struck: async (key) => (await attemptsOf(mesh, key)) > 1,
  },
  'Redis is killed': {
    prepare: slowly,
    async strike(key) {
      await untilStored(mesh, key);
      await mesh.redis.server.kill();
      await mesh.redis.restart();
    },
  },
  'Redis is flushed': {
    prepare: slowly,
    async strike(key) {
      await untilStored(mesh, key);
      await flushRedis(mesh);
    },
  },
  'PostgreSQL is killed': {
    prepare: slowly,
    async strike(key) {
      await untilStored(mesh, key);
      await mesh.billing.postgres.server.kill();
      await mesh.billing.postgres.restart();
    },
  },
  ...Object.fromEntries(
    (
      [
        ['between commit and reply', 'checkout.after-accept'],
        ['between outbox and queue', 'checkout.before-enqueue'],
        ['before it stores the answer', 'checkout.after-billing'],
      ] as [string, CrashPoint][]
    ).map(([when, point]) => [`the gateway dies ${when}`, gatewayDies(() => mesh, point)]),
  ),
};

const billingDeaths: Record<string, Fault> = {
  'before it asks the processor': billingDies(() => mesh, 'billing.before-charge'),
  'before it commits the answer': billingDies(() => mesh, 'billing.after-charge'),
  'between commit and reply': billingDies(() => mesh, 'billing.after-commit'),
};

describe('customer → gateway → billing: every fault, in every way of ordering', () => {
  for (const [name, fault] of Object.entries(faults))
    for (const way of ways) it(`${way} is charged once when ${name}`, () => cell(name, way, fault));
});

describe('a replica of billing dies under the payment, in every way of ordering', () => {
  after(() => mesh.billing.replicas[0].start());

  for (const [when, fault] of Object.entries(billingDeaths))
    for (const way of ways)
      it(`${way} is charged once when a replica dies ${when}`, () =>
        cell(`a replica dies ${when}`, way, fault));
});

describe('a queue that is emptied, and a gateway that wakes', () => {
  it('the outbox hands waiting work over again after Redis was emptied', async () => {
    await Promise.all(mesh.billing.replicas.map((replica) => replica.signal('SIGKILL')));
    const keys = Array.from({ length: 5 }, () => randomUUID());
    const accepted = await Promise.all(keys.map((key) => orderUntilAccepted(direct(), bearer, key)));
    await until({ what: 'work to wait for another attempt', timeoutMs: waitMs }, async () =>
      /^thermomesh_checkout_attempts_failed_total\{.*\} [1-9]/m.test(await metricsOf(direct())),
    );
    await flushRedis(mesh);
    await Promise.all(mesh.billing.replicas.map((replica) => replica.start()));
    for (const [n, key] of keys.entries()) await assertOnce(key, [accepted[n]!]);
  });

  it('a paused gateway that wakes cannot change what another gateway finished', async () => {
    const witness = path.join(mesh.billing.folder, 'paused');
    await mesh.gateway.signal('SIGKILL');
    await mesh.gateway.start(crashAt('checkout.after-billing', witness, 1, 'stop'));
    await untilAccepting(direct());
    const key = randomUUID();
    const accepted = await orderUntilAccepted(direct(), bearer, key);
    await untilHit(witness, 'checkout.after-billing');
    await mesh.other.start();
    await untilAccepting(mesh.other.url);
    const { views } = await readEvents(mesh.other.url, bearer, acceptedId(accepted));
    assert.equal(views.at(-1)?.status, 'charged');
    await mesh.gateway.signal('SIGCONT');
    await until({ what: 'the late answer', timeoutMs: waitMs }, async () =>
      mesh.gateway.logged().includes('checkout.late_answer'),
    );
    await mesh.other.signal('SIGTERM');
    await assertOnce(key, [accepted]);
    assert.equal(
      (await untilFinal(direct(), bearer, acceptedId(accepted))).text,
      JSON.stringify(views.at(-1)),
    );
  });
});

describe('Redis or PostgreSQL is not available to the checkout', () => {
  /** The checkout answers 503 with a time to retry after; MQTT and readiness are not affected. */
  async function assertOnlyCheckoutIsDown(code: string): Promise<void> {
    const answer = await until({ what: `503 ${code}`, timeoutMs: waitMs }, async () => {
      const given = await call(direct(), { bearer, key: randomUUID(), body: order });
      return given.body['code'] === code ? given : undefined;
    });
    assert.equal(answer.status, 503);
    assert.match(answer.headers.get('content-type') ?? '', /^application\/problem\+json/);
    assert.match(answer.headers.get('retry-after') ?? '', /^\d+$/);
    await mesh.gateway.publish();
    assert.equal((await fetch(`${direct()}/readyz`)).status, 200);
  }
  async function assertHeals(): Promise<void> {
    const key = randomUUID();
    await assertOnce(key, [await orderUntilAccepted(direct(), bearer, key)]);
  }

  it('Redis down stops only new orders; accepted checkouts can still be read', async () => {
    const accepted = await orderUntilAccepted(direct(), bearer, randomUUID());
    const final = await untilFinal(direct(), bearer, acceptedId(accepted));
    await mesh.redis.server.kill();
    await assertOnlyCheckoutIsDown('checkout.redis_down');
    assert.equal((await untilFinal(direct(), bearer, acceptedId(accepted))).text, final.text);
    await mesh.redis.restart();
    await assertHeals();
  });

  it('a Redis that may evict keys or keeps no append-only file is refused', async () => {
    for (const settings of [{ 'maxmemory-policy': 'allkeys-lru' }, { appendonly: 'no' }]) {
      await mesh.redis.server.stop();
      await mesh.redis.restart({ settings });
      await assertOnlyCheckoutIsDown('checkout.redis_unsafe');
    }
    await mesh.redis.server.stop();
    await mesh.redis.restart();
    await assertHeals();
  });

  it('PostgreSQL down, also at a start, stops only the checkout, which recovers', async () => {
    await mesh.billing.postgres.server.kill();
    await assertOnlyCheckoutIsDown('checkout.database_down');
    await mesh.redis.server.kill();
    await mesh.gateway.signal('SIGTERM');
    await mesh.gateway.start();
    await assertOnlyCheckoutIsDown('checkout.redis_down');
    await mesh.redis.restart();
    await assertOnlyCheckoutIsDown('checkout.database_down');
    await mesh.billing.postgres.restart();
    await assertHeals();
  });

  it('SIGTERM is graceful, and open checkouts become final after the next start', async () => {
    await mesh.billing.faults({ rates: { delay: 1 }, delayMs: 200 });
    const keys = Array.from({ length: 20 }, () => randomUUID());
    const accepted = await Promise.all(keys.map((key) => orderUntilAccepted(direct(), bearer, key)));
    await mesh.gateway.signal('SIGTERM');
    assert.match(mesh.gateway.logged().slice(-5_000), /process\.stopped/);
    await mesh.gateway.start();
    for (const [n, key] of keys.entries()) await assertOnce(key, [accepted[n]!]);
  });
});

it('after every fault no checkout is open, and each charged one is one charge', async () => {
  await untilIdle(mesh);
  const rows = await mesh.billing.sql.query<{ id: string }>(
    "SELECT transaction_id AS id FROM checkouts WHERE status = 'charged'",
  );
  for (const { id } of rows) assert.equal(await mesh.billing.charges(id), 1);
  assert.deepEqual(await mesh.billing.sql.query("SELECT 1 FROM checkouts WHERE status = 'failed'"), []);
});
