import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { after, before, describe, it } from 'node:test';
import { fileURLToPath } from 'node:url';
import { Store } from '@thermomesh/idempotency/testing';
import { sqlPatience, testDatabase, type TestDatabase } from '@thermomesh/servers';
import { createPool, migrate, type SqlPool } from '@thermomesh/sql';
import fc from 'fast-check';
import type { ProcessorAnswer } from '../core/answer.ts';
import { recordOf, type OperationKey } from '../core/operation.ts';
import type { NewOperation, OperationStore } from '../core/ports.ts';
import type { OperationStoreOptions } from './pg-gathered.ts';
import { createOperationStore } from './pg-operations.ts';

const charged: ProcessorAnswer = { outcome: 'charged', reference: 'ch_1', reason: null };
const declined: ProcessorAnswer = { outcome: 'declined', reference: 'ch_2', reason: 'insufficient_funds' };
let database: TestDatabase;
let pool: SqlPool;
let store: OperationStore;

before(async () => {
  database = await testDatabase();
  const folder = fileURLToPath(new URL('../../migrations', import.meta.url));
  await migrate({ url: database.url, folder, table: 'billing_schema' });
  pool = createPool({ ...sqlPatience, url: database.url, applicationName: 'test' });
  store = createOperationStore(pool, options('test'));
});
after(async () => {
  await pool.close();
  await database.drop();
});

function options(holder: string, more: Partial<OperationStoreOptions> = {}): OperationStoreOptions {
  return { holder, leaseMs: 60_000, gatherMax: 8, waitingMax: 1_000, ...more };
}

async function claim(operation: NewOperation, by = store): Promise<string> {
  return (await by.claim(operation)).result;
}

function payment(amountMinor = 100): NewOperation {
  const transactionId = randomUUID();
  return {
    caller: 'gateway',
    transactionId,
    amountMinor,
    fingerprint: 'ab',
    processorKey: `tm_${transactionId}`,
    details: { kind: 'charge', payer: 'alice', currency: 'EUR', tokenBox: Buffer.from('box') },
  };
}

async function endLease({ transactionId }: OperationKey): Promise<void> {
  await pool.query(
    `UPDATE operations SET lease_until = clock_timestamp() - interval '1 s' WHERE transaction_id = $1`,
    [transactionId],
  );
}

describe('the attempt fence', () => {
  it('a paused replica cannot write after another attempt has taken over', async () => {
    const key = payment();
    assert.equal(await claim(key), 'claimed');
    assert.equal(await store.recordCharging(key, 1), true);
    await endLease(key);
    assert.equal(await store.takeOver(key, 1), 2);
    assert.equal(await store.recordCharging(key, 2), true);
    // The first attempt wakes and has an answer.
    assert.equal(await store.recordCharging(key, 1), false);
    assert.equal(await store.release(key, 1, 0), false);
    assert.equal(await store.finish(key, 1, declined, '{}'), false);
    assert.equal((await store.load(key))?.phase, 'charging');
    assert.equal(await store.finish(key, 2, charged, '{}'), true);
    assert.equal(await store.finish(key, 2, declined, '{"other":1}'), false);
    const row = await store.load(key);
    assert.deepEqual([row?.outcome, row?.answerBody, row?.tokenBox], ['charged', '{}', null]);
  });

  it('a fresh lease is not taken over, an expired one by one attempt only', async () => {
    const key = payment();
    await claim(key);
    assert.equal(await store.takeOver(key, 1), undefined);
    await endLease(key);
    assert.ok((await store.inDoubt(100)).some(({ transactionId }) => transactionId === key.transactionId));
    const both = await Promise.all([store.takeOver(key, 1), store.takeOver(key, 1)]);
    assert.deepEqual(both.sort(), [2, undefined]);
    assert.ok(!(await store.inDoubt(100)).some(({ transactionId }) => transactionId === key.transactionId));
  });

  it('of many claims of one key at once exactly one wins', async () => {
    // Each claim has a store of its own, like a replica, so the claims race for both unique
    // indexes.
    const wide = createPool({
      ...sqlPatience,
      url: database.url,
      applicationName: 'test-claims',
      connectionsMax: 20,
    });
    try {
      const stores = Array.from({ length: 10 }, (_, n) => createOperationStore(wide, options(`r${n}`)));
      for (let round = 0; round < 40; round++) {
        const key = payment();
        const claims = await Promise.all(stores.map(async (one) => claim(key, one)));
        assert.deepEqual(claims.sort(), ['claimed', ...Array.from({ length: 9 }, () => 'exists')]);
      }
    } finally {
      await wide.close();
    }
  });

  it('the store behaves like the reference store in every order of calls', async () => {
    const attempt = fc.integer({ min: 1, max: 3 });
    const command = fc.oneof(
      fc.record({ do: fc.constantFrom('claim', 'lease' as const) }),
      fc.record({
        do: fc.constantFrom('takeOver', 'charging', 'charged', 'declined', 'release' as const),
        attempt,
      }),
    );
    await fc.assert(
      fc.asyncProperty(fc.array(command, { maxLength: 15 }), async (commands) => {
        const key = payment();
        const reference = new Store();
        for (const one of commands) {
          const n = 'attempt' in one ? one.attempt : 0;
          switch (one.do) {
            case 'claim':
              assert.equal((await claim(key)) === 'claimed', reference.claim('ab'));
              break;
            case 'lease':
              if (reference.record?.phase !== 'answered') await endLease(key);
              reference.leaseOver = true;
              break;
            case 'takeOver':
              assert.equal(await store.takeOver(key, n), reference.takeOver(n));
              break;
            case 'charging':
              assert.equal(await store.recordCharging(key, n), reference.charging(n));
              break;
            case 'release':
              assert.equal(await store.release(key, n, -1), reference.release(n));
              break;
            default: {
              const answer = one.do === 'charged' ? charged : declined;
              assert.equal(await store.finish(key, n, answer, '{}'), reference.finish(n, answer.outcome));
            }
          }
          const row = await store.load(key);
          assert.deepEqual(row === undefined ? undefined : recordOf(row), reference.record);
        }
      }),
      { numRuns: 30 },
    );
  });
});

describe('the books', () => {
  it('the books sum to zero after any charges, declines and refunds', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.record({ amount: fc.integer({ min: 1, max: 1_000_000_000_000 }), paid: fc.boolean() }), {
          minLength: 1,
          maxLength: 5,
        }),
        async (orders) => {
          for (const { amount, paid } of orders) {
            const key = payment(amount);
            await claim(key);
            await store.recordCharging(key, 1);
            await store.finish(key, 1, paid ? charged : declined, '{}');
            const refund: NewOperation = {
              ...payment(Math.ceil(amount / 2)),
              details: { kind: 'refund', paymentId: key.transactionId },
            };
            assert.equal(await claim(refund), paid ? 'claimed' : 'not_charged');
            if (!paid) continue;
            await store.recordCharging(refund, 1);
            assert.equal(await store.finish(refund, 1, charged, '{}'), true);
            const [rest] = await pool.query(
              `SELECT sum(amount_minor)::bigint AS n FROM entries JOIN postings ON postings.id = posting_id
                WHERE account = 'processor:clearing' AND transaction_id IN ($1, $2)`,
              [key.transactionId, refund.transactionId],
            );
            assert.deepEqual(rest, { n: Math.floor(amount / 2) });
          }
          const [row] = await pool.query('SELECT sum(amount_minor)::bigint AS total FROM entries');
          assert.ok(row?.['total'] === 0 || row?.['total'] === null);
        },
      ),
      { numRuns: 15 },
    );
  });

  it('the books refuse unbalanced postings and every change', async () => {
    const key = payment();
    await claim(key);
    const insert = (entries: string) =>
      pool.query(
        `WITH p AS (INSERT INTO postings (caller, transaction_id, currency) VALUES ('gateway', '${key.transactionId}', 'EUR') RETURNING id)
         INSERT INTO entries SELECT p.id, e.account, e.amount FROM p, (VALUES ${entries}) AS e (account, amount)`,
      );
    await assert.rejects(insert(`('a', 100), ('b', -99)`), { code: 'sql.TM011' });
    await assert.rejects(insert(`('a', 100)`), { code: 'sql.TM011' });
    await assert.rejects(
      pool.query(`INSERT INTO postings (caller, transaction_id, currency) VALUES ('gateway', $1, 'EUR')`, [
        key.transactionId,
      ]),
      { code: 'sql.TM011' },
    );
    await insert(`('a', 100), ('b', -100)`);
    await assert.rejects(insert(`('a', 100), ('b', -100)`), { code: 'sql.data_refused' });
    for (const statement of [
      'UPDATE entries SET amount_minor = amount_minor * 2',
      'DELETE FROM entries',
      'TRUNCATE entries',
      `UPDATE postings SET currency = 'USD'`,
      'DELETE FROM postings',
      'DELETE FROM operations',
      'TRUNCATE operations CASCADE',
      'UPDATE operations SET amount_minor = 1',
    ])
      await assert.rejects(pool.query(statement), { code: 'sql.TM010' }, statement);
  });

  it('an answer is final, and the token is deleted with it', async () => {
    const key = payment();
    await claim(key);
    await store.recordCharging(key, 1);
    await store.finish(key, 1, charged, '{"a":1}');
    for (const change of [
      `outcome = 'declined'`,
      `answer_body = '{}'`,
      `phase = 'charging', outcome = NULL, answered_at = NULL, answer_body = NULL`,
      `processor_reference = 'x'`,
      'attempt = 7',
    ])
      await assert.rejects(
        pool.query(`UPDATE operations SET ${change} WHERE transaction_id = $1`, [key.transactionId]),
        { code: 'sql.TM010' },
        change,
      );
  });
});

it('an answer is dropped after its retention, its UUID stays in use', async () => {
  const key = payment();
  await claim(key);
  await store.recordCharging(key, 1);
  await store.finish(key, 1, charged, '{}');
  assert.equal(await store.retire(1, 1_000), 0);
  assert.ok((await store.retire(0, 1_000)) >= 1);
  const row = await store.load(key);
  assert.deepEqual(
    [row?.retired, row?.answerBody, row?.fingerprint, row?.outcome],
    [true, null, null, 'charged'],
  );
  assert.equal(await claim(key), 'exists');
  const unanswered = payment();
  await claim(unanswered);
  await store.retire(0, 1_000);
  assert.equal((await store.load(unanswered))?.retired, false);
});
