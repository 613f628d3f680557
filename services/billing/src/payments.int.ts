import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { after, afterEach, before, describe, it } from 'node:test';
import { fileURLToPath } from 'node:url';
import { sqlPatience, testDatabase, type TestDatabase } from '@thermomesh/servers';
import { createPool, migrate, type SqlPool } from '@thermomesh/sql';
import { until } from '@thermomesh/testing';
import type { BillingService } from './service.ts';
import { createOperationStore } from './adapters/pg-operations.ts';
import { createSecrets, deriveProcessorKey } from './core/secrets.ts';
import {
  billingSecret,
  call,
  quickSettings,
  startProcessor,
  startReplica,
  type CallAnswer,
  type TestProcessor,
} from './testing.ts';

const good = { payer: 'alice', amountMinor: 1_250, currency: 'EUR', paymentToken: 'tok_4242424242424242' };
let database: TestDatabase;
let pool: SqlPool;
let processor: TestProcessor;
let a: BillingService & { url: string };
let b: BillingService & { url: string };

before(async () => {
  database = await testDatabase();
  const folder = fileURLToPath(new URL('../migrations', import.meta.url));
  await migrate({ url: database.url, folder, table: 'billing_schema' });
  pool = createPool({ ...sqlPatience, url: database.url, applicationName: 'test' });
  processor = await startProcessor(process.env);
  const settings = quickSettings(database.url, processor.url);
  a = await startReplica({ ...settings, REPLICA: 'billing-1' });
  b = await startReplica({ ...settings, REPLICA: 'billing-2' });
});
afterEach(() => processor.faults({}));
after(async () => {
  await Promise.all([a, b].map((replica) => replica.stop()));
  await processor.stop();
  await pool.close();
  await database.drop();
});

const pay = (key: string, more: object = {}, url = a.url, caller = 'gateway'): Promise<CallAnswer> =>
  call(url, { key, caller, body: { ...good, ...more } });

async function charges(transactionId: string, caller = 'gateway'): Promise<number> {
  const key = deriveProcessorKey({ caller, transactionId }, 'charge');
  return (await processor.ledger()).filter((entry) => entry.key === key && entry.status === 'charged').length;
}

/**
 * Checks that all final answers have the same bytes, that at most one of them is not a replay, and
 * that the card was charged `times` times.
 */
async function assertOneAnswer(key: string, answers: readonly CallAnswer[], times = 1): Promise<void> {
  assert.deepEqual(
    [...new Set(answers.map(({ status }) => status))],
    [201],
    answers.map(({ text }) => text).join(),
  );
  assert.equal(new Set(answers.map(({ text }) => text)).size, 1);
  assert.ok(answers.filter(({ replayed }) => !replayed).length <= 1);
  assert.equal(await charges(key), times);
}

describe('a payment', () => {
  it('a payment is charged once, and repeated calls get the same bytes', async () => {
    const key = randomUUID();
    const first = await pay(key);
    assert.equal(first.replayed, false);
    assert.equal(first.body['status'], 'charged');
    const again = await pay(key.toUpperCase(), {}, b.url);
    assert.equal(again.replayed, true);
    await assertOneAnswer(key, [first, again]);
  });

  it('a declined payment stays declined and posts nothing', async () => {
    const key = randomUUID();
    await processor.faults({ next: ['decline'] });
    const first = await pay(key);
    assert.equal(first.body['status'], 'declined');
    assert.equal(first.body['reason'], 'insufficient_funds');
    await assertOneAnswer(key, [first, await pay(key), await pay(key, {}, b.url)], 0);
    assert.deepEqual(await pool.query('SELECT 1 FROM postings WHERE transaction_id = $1', [key]), []);
  });

  it('the same UUID of two callers makes two payments', async () => {
    const key = randomUUID();
    const [gateway, shop] = [await pay(key), await pay(key, { amountMinor: 99 }, a.url, 'shop')];
    assert.equal(gateway.body['amountMinor'], 1_250);
    assert.equal(shop.body['amountMinor'], 99);
    assert.deepEqual([await charges(key), await charges(key, 'shop')], [1, 1]);
  });

  it('other parameters under the same key are refused, even while it runs', async () => {
    const key = randomUUID();
    await processor.faults({ next: ['delay'], delayMs: 200 });
    const first = pay(key);
    await untilClaimed(key);
    for (const more of [
      { amountMinor: 1 },
      { currency: 'USD' },
      { payer: 'bob' },
      { paymentToken: 'tok_other' },
    ]) {
      for (const url of [a.url, b.url]) {
        const refused = await pay(key, more, url);
        assert.equal(refused.status, 422);
        assert.equal(refused.body['code'], 'payments.other_parameters');
      }
    }
    await assertOneAnswer(key, [await first]);
    assert.equal((await pay(key, { amountMinor: 1 })).status, 422);
  });

  it('a payment that is still running is 409 and is answered later', async () => {
    const settings = quickSettings(database.url, processor.url);
    const hasty = await startReplica({ ...settings, REPLICA: 'hasty', ANSWER_WAIT_MS: '500' });
    try {
      const key = randomUUID();
      await processor.faults({ rates: { hang: 1 } });
      const first = await untilSeen(async () => pay(key, {}, hasty.url));
      assert.equal(first.status, 409);
      assert.equal(first.retryAfter, '1');
      assert.equal(first.body['code'], 'payments.running');
      await processor.faults({});
      await assertOneAnswer(key, [await pay(key), await pay(key, {}, b.url)]);
    } finally {
      await hasty.stop();
    }
  });
});

describe('a duplicate of a payment with a holder', () => {
  it('a duplicate waits in bounds and takes over when the lease has expired', async () => {
    const settings = quickSettings(database.url, processor.url);
    const hasty = await startReplica({ ...settings, REPLICA: 'hasty', ANSWER_WAIT_MS: '500' });
    try {
      const key = { caller: 'gateway', transactionId: randomUUID() };
      const secrets = createSecrets(billingSecret);
      const { paymentToken, amountMinor, ...details } = good;
      const holder = createOperationStore(pool, {
        holder: 'dead',
        leaseMs: 600_000,
        gatherMax: 1,
        waitingMax: 1,
      });
      await holder.claim({
        ...key,
        amountMinor,
        fingerprint: secrets.fingerprint({ kind: 'charge', ...good }),
        processorKey: deriveProcessorKey(key, 'charge'),
        details: { kind: 'charge', ...details, tokenBox: secrets.seal(key, paymentToken) },
      });
      const duplicates = await Promise.all(
        [1, 2, 3].map(async () => untilSeen(async () => pay(key.transactionId, {}, hasty.url))),
      );
      assert.deepEqual(
        duplicates.map(({ status, retryAfter, body }) => [status, retryAfter, body['code']]),
        duplicates.map(() => [409, '1', 'payments.running']),
      );
      const others = await untilSeen(async () => pay(key.transactionId, { amountMinor: 1 }, hasty.url));
      assert.equal(others.status, 422);
      assert.equal(await charges(key.transactionId), 0);
      await pool.query('UPDATE operations SET lease_until = now() WHERE transaction_id = $1', [
        key.transactionId,
      ]);
      await assertOneAnswer(key.transactionId, [
        await pay(key.transactionId),
        await pay(key.transactionId, {}, b.url),
      ]);
      const view = await call(a.url, { method: 'GET', route: `/v1/payments/${key.transactionId}` });
      assert.equal(view.body['attempt'], 2);
    } finally {
      await hasty.stop();
    }
  });
});

describe('the fault matrix between billing and the processor', () => {
  const faults: Record<string, object> = {
    'the request is dropped': { next: ['drop-request'] },
    'the reply is dropped': { next: ['drop-reply'] },
    'the processor hangs': { next: ['hang'] },
    'the processor refuses for a while': { next: ['refuse', 'refuse', 'refuse'] },
    'the charge is made long after we gave up': { next: ['delay'], delayMs: 500 },
    'nothing comes back for more than one attempt': {
      next: ['drop-reply', 'hang', 'drop-reply', 'drop-request'],
    },
  };
  for (const [fault, plan] of Object.entries(faults)) {
    it(`one charge and one answer for all calls although ${fault}`, async () => {
      const key = randomUUID();
      await processor.faults(plan);
      const first = await Promise.all([pay(key), pay(key), pay(key, {}, b.url), pay(key, {}, b.url)]);
      const retries = [await pay(key), await pay(key, {}, b.url)];
      await assertOneAnswer(key, [...first, ...retries]);
      assert.ok(retries.every(({ replayed }) => replayed));
    });
  }

  it('many payments under random faults are charged once each', async () => {
    await processor.faults({
      rates: { 'drop-reply': 0.15, 'drop-request': 0.1, refuse: 0.1, hang: 0.03, delay: 0.05 },
      delayMs: 350,
    });
    const keys = Array.from({ length: 40 }, () => randomUUID());
    const calls = keys.flatMap((key) =>
      [a, a, b, b].map(async ({ url }) => ({ key, answer: await pay(key, {}, url) })),
    );
    const answers = await Promise.all(calls);
    for (const key of keys) {
      await assertOneAnswer(
        key,
        answers.filter((one) => one.key === key).map(({ answer }) => answer),
      );
    }
  });
});

describe('refunds', () => {
  const refund = (payment: string, key: string, amountMinor: number, url = a.url) =>
    call(url, { route: `/v1/payments/${payment}/refunds`, key, body: { amountMinor } });

  it('refunds are idempotent and never exceed the charge', async () => {
    const payment = randomUUID();
    await pay(payment);
    const key = randomUUID();
    await processor.faults({ next: ['drop-reply'] });
    const answers = await Promise.all([a, b, a, b].map(({ url }) => refund(payment, key, 1_000, url)));
    assert.equal(new Set(answers.map(({ status, text }) => `${status} ${text}`)).size, 1);
    assert.equal(answers[0]?.body['status'], 'refunded');
    assert.equal((await refund(payment, key, 999)).status, 422);
    assert.equal((await refund(payment, randomUUID(), 251)).body['code'], 'refunds.exceeds');
    // Two refunds that would together exceed the charge: one of them is made.
    const rest = await Promise.all([a, b].map(({ url }) => refund(payment, randomUUID(), 250, url)));
    assert.deepEqual(rest.map(({ status }) => status).sort(), [201, 422]);
    const view = await call(a.url, { method: 'GET', route: `/v1/payments/${payment}` });
    assert.equal(view.body['refundedMinor'], 1_250);
    const key1 = deriveProcessorKey({ caller: 'gateway', transactionId: key }, 'refund');
    assert.equal((await processor.ledger()).filter((entry) => entry.key === key1).length, 1);
  });

  it('refunds of unknown, declined or foreign payments leave their keys free', async () => {
    const declined = randomUUID();
    await processor.faults({ next: ['decline'] });
    await pay(declined);
    const others = randomUUID();
    await pay(others, {}, a.url, 'shop');
    const key = randomUUID();
    assert.equal((await refund(randomUUID(), key, 1)).status, 404);
    assert.equal((await refund(others, key, 1)).status, 404);
    assert.equal((await refund(declined, key, 1)).body['code'], 'refunds.not_charged');
    const payment = randomUUID();
    await pay(payment);
    assert.equal((await refund(payment, key, 1)).status, 201);
    // The key of a payment is not free for a refund.
    assert.equal((await refund(payment, payment, 1)).status, 422);
  });
});

it('the books balance with the processor’s ledger after all of this', async () => {
  const entries = await processor.ledger();
  const charged = entries
    .filter(({ status }) => status === 'charged')
    .reduce((sum, e) => sum + e.amountMinor, 0);
  const refunded = entries
    .filter(({ status }) => status === 'refunded')
    .reduce((sum, e) => sum + e.amountMinor, 0);
  const [sums] = await pool.query(
    `SELECT sum(amount_minor)::bigint AS total, sum(amount_minor) FILTER (WHERE account = 'processor:clearing')::bigint AS clearing FROM entries`,
  );
  assert.deepEqual(sums, { total: 0, clearing: charged - refunded });
  assert.deepEqual(
    await pool.query('SELECT 1 FROM entries GROUP BY posting_id HAVING sum(amount_minor) <> 0'),
    [],
  );
});

/**
 * Repeats a call until its answer is not 503. A replica with a short wait answers 503 if PostgreSQL
 * has not answered by then.
 */
async function untilSeen(ask: () => Promise<CallAnswer>): Promise<CallAnswer> {
  for (const deadlineMs = Date.now() + 30_000; ;) {
    const answer = await ask();
    if (answer.status !== 503) return answer;
    assert.ok(Date.now() < deadlineMs, answer.text);
  }
}

async function untilClaimed(key: string): Promise<void> {
  const sql = 'SELECT 1 FROM operations WHERE transaction_id = $1';
  await until('the claim of the key', async () => (await pool.query(sql, [key])).length > 0);
}
