import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import path from 'node:path';
import { after, afterEach, before, describe, it } from 'node:test';
import { until } from '@thermomesh/mesh';
import type { CrashPoint } from '@thermomesh/runtime';
import {
  acceptedId,
  appendOnlyFile,
  attemptsOf,
  billingDies,
  call,
  flushRedis,
  gatewayDies,
  lostAtBilling,
  metricsOf,
  order,
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
import { startFlakyProxy, type FlakyProxy } from './flaky-proxy.ts';
import { crashAt, untilHit, waitMs } from './support.ts';

let mesh: Mesh;
let proxy: FlakyProxy;
let bearer: string;
const direct = () => mesh.gateway.url;

before(async () => {
  mesh = await startCheckoutMesh();
  proxy = await startFlakyProxy(mesh.gateway.httpPort);
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

const ways = ['first try', 'retry', 'concurrent duplicates'] as const;
type Way = (typeof ways)[number];

/** Orders in one way while a fault strikes, and asks again until there is an answer. */
async function cell(name: string, way: Way, { prepare, strike, struck }: Fault): Promise<void> {
  const key = randomUUID();
  const which = `${name}-${way}`.replaceAll(/\W+/g, '-');
  await prepare?.(which);
  const url = proxy.url;
  const calls = Array.from({ length: way === 'concurrent duplicates' ? 5 : 1 }, () =>
    call(url, { bearer, key, body: order }),
  );
  const [answers] = await Promise.all([Promise.all(calls), strike?.(key, which)]);
  // A customer that has its 202 asks again only where the test says so.
  const answered = answers.some(({ status }) => status === 202);
  for (let again = way === 'first try' ? (answered ? 0 : 1) : 3; again > 0; again--)
    answers.push(await orderUntilAccepted(direct(), bearer, key));
  await assertOnce(key, answers);
  assert.notEqual(await struck?.(key), false, 'the fault has not struck');
}

/** One checkout, one charge in the processor's own ledger, and all answers the same bytes (I3, I5). */
async function assertOnce(key: string, answers: readonly Answer[]): Promise<void> {
  for (const { status, text } of answers) assert.ok([0, 202, 503].includes(status), `${status}: ${text}`);
  const accepted = answers.filter(({ status }) => status === 202);
  assert.ok(accepted.length > 0, 'nobody got a 202');
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

/** The processor takes its time: what dies meanwhile dies with work under way. */
const slowly = async () => mesh.billing.faults({ next: ['delay'], delayMs: 300 });

const faults: Record<string, Fault> = {
  'the request is lost': { prepare: async () => proxy.lose('request') },
  'the reply is lost': { prepare: async () => proxy.lose('reply') },
  'the processor hangs': { prepare: async () => mesh.billing.faults({ next: ['hang'] }) },
  'the request to billing is lost': lostAtBilling(() => mesh, 'request'),
  'the reply of billing is lost': lostAtBilling(() => mesh, 'reply'),
  'the billing replica that holds the payment is killed': {
    // Nobody gets an answer of the processor before the holder is dead.
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
        ['after the order is committed, before the reply', 'checkout.after-accept'],
        ['between outbox and queue', 'checkout.before-enqueue'],
        ['after billing’s answer, before it is stored', 'checkout.after-billing'],
      ] as [string, CrashPoint][]
    ).map(([when, point]) => [`the gateway is killed ${when}`, gatewayDies(() => mesh, point)]),
  ),
};

const billingDeaths: Record<string, Fault> = {
  'before it asks the processor': billingDies(() => mesh, 'billing.before-charge'),
  'with the processor’s answer in its hand': billingDies(() => mesh, 'billing.after-charge'),
  'after its commit, before the reply': billingDies(() => mesh, 'billing.after-commit'),
};

describe('customer → gateway → billing: every fault, in every way of asking', () => {
  for (const [name, fault] of Object.entries(faults))
    for (const way of ways) it(`${name}, ${way}: one charge, one answer`, () => cell(name, way, fault));
});

describe('customer → gateway → billing: a replica of billing dies under the payment, in every way of asking', () => {
  after(() => mesh.billing.replicas[0].start());

  for (const [when, fault] of Object.entries(billingDeaths))
    for (const way of ways)
      it(`${when}, ${way}: one charge, one answer`, () => cell(`billing is killed ${when}`, way, fault));
});

describe('work that waits, and workers that wake', () => {
  it('Redis-replaced-by-an-empty-one while work waits in it: the outbox hands it over again', async () => {
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

  it('paused-gateway-wakes-late: another finishes its work, its streams tell it, the late answer changes nothing', async () => {
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

describe('what the checkout needs is away', () => {
  /** The checkout says 503 and when to come again, and nothing else is any different. */
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

  it('Redis-down-stops-the-checkout-and-nothing-else; accepted checkouts can still be looked at', async () => {
    const accepted = await orderUntilAccepted(direct(), bearer, randomUUID());
    const final = await untilFinal(direct(), bearer, acceptedId(accepted));
    await mesh.redis.server.kill();
    await assertOnlyCheckoutIsDown('checkout.redis_down');
    assert.equal((await untilFinal(direct(), bearer, acceptedId(accepted))).text, final.text);
    await mesh.redis.restart();
    await assertHeals();
  });

  it('a-Redis-that-may-lose-work-is-refused: eviction, no append-only file', async () => {
    for (const settings of [{ 'maxmemory-policy': 'allkeys-lru' }, { appendonly: 'no' }]) {
      await mesh.redis.server.stop();
      await mesh.redis.restart({ settings });
      await assertOnlyCheckoutIsDown('checkout.redis_unsafe');
    }
    await mesh.redis.server.stop();
    await mesh.redis.restart();
    await assertHeals();
  });

  it('PostgreSQL-down-stops-the-checkout-and-nothing-else, also at a start, which heals by itself', async () => {
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

  it('SIGTERM with checkouts under way: an orderly end, and all become final after the next start', async () => {
    await mesh.billing.faults({ rates: { delay: 1 }, delayMs: 200 });
    const keys = Array.from({ length: 20 }, () => randomUUID());
    const accepted = await Promise.all(keys.map((key) => orderUntilAccepted(direct(), bearer, key)));
    await mesh.gateway.signal('SIGTERM');
    assert.match(mesh.gateway.logged().slice(-5_000), /process\.stopped/);
    await mesh.gateway.start();
    for (const [n, key] of keys.entries()) await assertOnce(key, [accepted[n]!]);
  });
});

describe('what customers send and see', () => {
  const bodies: Record<string, unknown> = {
    'negative amount': { ...order, amountMinor: -1 },
    'fractional amount': { ...order, amountMinor: 12.5 },
    'huge amount': { ...order, amountMinor: 1e18 },
    'unknown currency': { ...order, currency: 'XBT' },
    'a field too many': { ...order, cvv: '123' },
    'no object': [order],
  };

  it('bad orders are clear problems, and nothing is stored of them', async () => {
    const cases = [
      ...Object.entries(bodies).map(([name, body]) => [name, 400, { key: randomUUID(), body }] as const),
      ['no key', 400, { body: order }] as const,
      ['a key too long', 400, { key: 'x'.repeat(129), body: order }] as const,
      ['no JSON', 400, { key: randomUUID(), raw: `{"paymentToken":${order.paymentToken}` }] as const,
      ['too much', 413, { key: randomUUID(), body: { ...order, x: 'x'.repeat(100_000) } }] as const,
    ];
    const count = async () => (await mesh.billing.sql.query('SELECT count(*) AS n FROM checkouts'))[0];
    const before = await count();
    for (const [name, status, options] of cases) {
      const answer = await call(direct(), { bearer, ...options });
      assert.equal(answer.status, status, `${name}: ${answer.text}`);
      assert.match(answer.headers.get('content-type') ?? '', /^application\/problem\+json/, name);
      assert.equal(typeof answer.body['detail'], 'string', name);
      assert.ok(!answer.text.includes(order.paymentToken), name);
    }
    assert.deepEqual(await count(), before);
  });

  it('the same key with other parameters is 422, of another customer another checkout that the first cannot see', async () => {
    const key = randomUUID();
    const first = await orderUntilAccepted(direct(), bearer, key);
    for (const other of [{ amountMinor: 1 }, { paymentToken: 'tok_other' }, { reference: 'x' }]) {
      const answer = await call(direct(), { bearer, key, body: { ...order, ...other } });
      assert.deepEqual([answer.status, answer.body['code']], [422, 'checkout.other_parameters']);
    }
    const stranger = await mesh.apiKey(['read', 'checkout']);
    const theirs = await orderUntilAccepted(direct(), stranger, key);
    assert.notEqual(acceptedId(theirs), acceptedId(first));
    const route = `/v1/checkouts/${acceptedId(first)}`;
    for (const path of [route, `${route}/events`])
      assert.equal((await call(direct(), { bearer: stranger, method: 'GET', route: path })).status, 404);
    const list = await call(direct(), { bearer: stranger, method: 'GET' });
    assert.deepEqual(
      (list.body['items'] as { checkoutId: string }[]).map(({ checkoutId }) => checkoutId),
      [acceptedId(theirs)],
    );
  });

  it('a key without the scope may neither order nor look', async () => {
    const reader = await mesh.apiKey(['read']);
    assert.equal((await call(direct(), { bearer: reader, key: 'a', body: order })).status, 403);
    assert.equal((await call(direct(), { bearer: reader, method: 'GET' })).status, 403);
    assert.equal((await call(direct(), { bearer: 'tmk_x', key: 'a', body: order })).status, 401);
  });

  it('a declined checkout is final, with its reason', async () => {
    await untilIdle(mesh);
    await mesh.billing.faults({ next: ['decline'] });
    const accepted = await orderUntilAccepted(direct(), bearer, randomUUID());
    const view = viewOf((await untilFinal(direct(), bearer, acceptedId(accepted))).text);
    assert.equal(view.status, 'declined');
    assert.ok((view.reason ?? '').length > 0);
  });

  it('an event stream tells the status now, then the end; one that has seen the end is told not to come back', async () => {
    await untilIdle(mesh);
    await mesh.billing.faults({ next: ['delay'], delayMs: 400 });
    const id = acceptedId(await orderUntilAccepted(direct(), bearer, randomUUID()));
    const { text, views } = await readEvents(direct(), bearer, id, 'anything');
    assert.deepEqual(
      views.map(({ status }) => status),
      ['accepted', 'charged'],
    );
    assert.match(text, /^: $/m, 'a heartbeat in between');
    assert.deepEqual(JSON.stringify(views[1]), (await untilFinal(direct(), bearer, id)).text);
    assert.equal((await readEvents(direct(), bearer, id)).views.length, 1);
    assert.equal((await readEvents(direct(), bearer, id, '2')).status, 204);
  });
});

it('card data is in no log, no answer, no metric, no Redis command and no table, whatever went wrong', async () => {
  const paymentToken = `tok_${randomUUID().replaceAll('-', '')}`;
  const key = randomUUID();
  await untilIdle(mesh);
  await mesh.billing.faults({ next: ['drop-reply', 'hang', 'refuse'] });
  const answers = [
    await call(direct(), { bearer, key, body: { ...order, paymentToken } }),
    await call(direct(), { bearer, key, body: { ...order, paymentToken, amountMinor: 1 } }),
    await call(direct(), { bearer, key: randomUUID(), raw: `{"paymentToken": "${paymentToken}" oops` }),
  ];
  const tables = async () =>
    (
      await mesh.billing.sql.query<{ row: string }>(
        'SELECT checkouts::text AS row FROM checkouts UNION ALL SELECT checkout_outbox::text FROM checkout_outbox',
      )
    ).map(({ row }) => row);
  const open = await tables();
  const id = acceptedId(answers[0]!);
  const final = await untilFinal(direct(), bearer, id);
  const places = {
    logs: mesh.gateway.logged(),
    answers: [...answers, final].map(({ text }) => text).join('\n'),
    metrics: await metricsOf(direct()),
    Redis: appendOnlyFile(mesh.redis),
    tables: [...open, ...(await tables())].join('\n'),
  };
  for (const place of ['logs', 'Redis', 'tables'] as const)
    assert.ok(places[place].includes(id), `${place} were looked at`);
  const spellings = (['utf8', 'hex', 'base64', 'base64url'] as const).map((encoding) =>
    Buffer.from(paymentToken).toString(encoding),
  );
  for (const [place, text] of Object.entries(places))
    for (const spelling of [...spellings, bearer])
      assert.ok(!text.includes(spelling), `${place} hold ${spelling.slice(0, 4)}…`);
  const [row] = await mesh.billing.sql.query('SELECT token_box FROM checkouts WHERE checkout_id = $1', [id]);
  assert.deepEqual(row, { token_box: null });
});

it('after all of this nothing is open, and each charged checkout is one charge', async () => {
  await untilIdle(mesh);
  const rows = await mesh.billing.sql.query<{ id: string }>(
    "SELECT transaction_id AS id FROM checkouts WHERE status = 'charged'",
  );
  for (const { id } of rows) assert.equal(await mesh.billing.charges(id), 1);
  assert.deepEqual(await mesh.billing.sql.query("SELECT 1 FROM checkouts WHERE status = 'failed'"), []);
});
