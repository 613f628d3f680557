/**
 * Operations that share a statement have independent results, and concurrent statements do not
 * deadlock.
 */
import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { after, before, describe, it } from 'node:test';
import { fileURLToPath } from 'node:url';
import { codeOf } from '@thermomesh/runtime';
import { sqlPatience, testDatabase, type TestDatabase } from '@thermomesh/servers';
import { createPool, migrate, openSession, type SqlPool, type SqlSession } from '@thermomesh/sql';
import { until } from '@thermomesh/testing';
import fc from 'fast-check';
import type { ProcessorAnswer } from '../core/answer.ts';
import type { NewOperation, OperationStore } from '../core/ports.ts';
import { createOperationStore } from './pg-operations.ts';

const charged: ProcessorAnswer = { outcome: 'charged', reference: 'ch_1', reason: null };
const declined: ProcessorAnswer = { outcome: 'declined', reference: 'ch_2', reason: 'insufficient_funds' };
let database: TestDatabase;
let pool: SqlPool;
let store: OperationStore;
let other: OperationStore;
/** Sizes of the statements of `store`. */
const statements: Record<string, number[]> = { claim: [], charging: [], finish: [] };

before(async () => {
  database = await testDatabase();
  const folder = fileURLToPath(new URL('../../migrations', import.meta.url));
  await migrate({ url: database.url, folder, table: 'billing_schema' });
  pool = createPool({ ...sqlPatience, url: database.url, applicationName: 'test', connectionsMax: 10 });
  const options = { leaseMs: 60_000, gatherMax: 32, waitingMax: 1_000 };
  store = createOperationStore(pool, {
    ...options,
    holder: 'a',
    onStatement: (statement, operations) => void statements[statement]?.push(operations),
  });
  other = createOperationStore(pool, { ...options, holder: 'b' });
});
after(async () => {
  await pool.close();
  await database.drop();
});

function payment(more: Partial<NewOperation> = {}): NewOperation {
  const transactionId = more.transactionId ?? randomUUID();
  return {
    caller: 'gateway',
    transactionId,
    amountMinor: 100,
    fingerprint: 'ab',
    processorKey: `tm_${transactionId}`,
    details: { kind: 'charge', payer: 'alice', currency: 'EUR', tokenBox: Buffer.from('box') },
    ...more,
  };
}

const some = (count: number) => Array.from({ length: count }, () => payment());
/** Creates operations in the order in which statements must take their rows. */
const ascending = (count: number) => some(count).sort((a, b) => (a.transactionId < b.transactionId ? -1 : 1));
const idsOf = (operations: readonly NewOperation[]) => operations.map(({ transactionId }) => transactionId);

async function begin(operations: readonly NewOperation[]): Promise<void> {
  await Promise.all(operations.map(async (one) => store.claim(one)));
  await Promise.all(operations.map(async (one) => store.recordCharging(one, 1)));
}

async function endLeases(operations: readonly NewOperation[]): Promise<void> {
  await pool.query(
    `UPDATE operations SET lease_until = clock_timestamp() - interval '1 s' WHERE transaction_id = ANY ($1::uuid[])`,
    [idsOf(operations)],
  );
}

describe('payments that share statements', () => {
  it('payments that share statements each have their own result', async () => {
    const [taken, fenced, paid, refused] = some(4) as [
      NewOperation,
      NewOperation,
      NewOperation,
      NewOperation,
    ];
    await store.claim(taken);
    statements['claim'] = [];
    const claims = await Promise.all([taken, fenced, paid, refused].map(async (one) => store.claim(one)));
    assert.deepEqual(
      claims.map(({ result }) => result),
      ['exists', 'claimed', 'claimed', 'claimed'],
    );
    assert.deepEqual(statements['claim'], [4]);
    await Promise.all([fenced, paid, refused].map(async (one) => store.recordCharging(one, 1)));
    await endLeases([fenced]);
    assert.equal(await other.takeOver(fenced, 1), 2);
    const done = await Promise.all([
      store.finish(fenced, 1, charged, '{"who":"fenced"}'),
      store.finish(paid, 1, charged, '{"who":"paid"}'),
      store.finish(refused, 1, declined, '{"who":"refused"}'),
    ]);
    assert.deepEqual(done, [false, true, true]);
    assert.equal(statements['finish']?.at(-1), 3);
    const rows = await Promise.all([fenced, paid, refused].map(async (one) => store.load(one)));
    assert.deepEqual(
      rows.map((row) => [row?.outcome, row?.answerBody]),
      [
        [null, null],
        ['charged', '{"who":"paid"}'],
        ['declined', '{"who":"refused"}'],
      ],
    );
    const posted = await pool.query(
      `SELECT transaction_id AS id, account, amount_minor AS amount FROM postings JOIN entries ON posting_id = postings.id
        WHERE transaction_id = ANY ($1::uuid[]) ORDER BY amount`,
      [idsOf([fenced, paid, refused])],
    );
    assert.deepEqual(posted, [
      { id: paid.transactionId, account: 'payer:alice', amount: -100 },
      { id: paid.transactionId, account: 'processor:clearing', amount: 100 },
    ]);
  });

  it('a payment that PostgreSQL refuses does not fail its neighbours', async () => {
    const good = some(9);
    const poison = payment({ amountMinor: -1 });
    const claims = await Promise.allSettled(
      [...good.slice(0, 4), poison, ...good.slice(4)].map(async (one) => store.claim(one)),
    );
    const refused = claims.splice(4, 1)[0];
    assert.equal(refused?.status === 'rejected' && codeOf(refused.reason), 'sql.data_refused');
    assert.ok(claims.every((claim) => claim.status === 'fulfilled' && claim.value.result === 'claimed'));
    await Promise.all(good.map(async (one) => store.recordCharging(one, 1)));
    const finishes = await Promise.allSettled(
      good.map(async (one, n) =>
        store.finish(one, 1, n === 2 ? { ...charged, reference: 'a\0b' } : charged, '{}'),
      ),
    );
    assert.deepEqual(
      finishes.map(({ status }) => status),
      good.map((_, n) => (n === 2 ? 'rejected' : 'fulfilled')),
    );
    assert.equal((await store.load(good[2]!))?.phase, 'charging');
  });

  it('duplicates during a claim ask once and see whose parameters won', async () => {
    const key = payment();
    statements['claim'] = [];
    const claims = await Promise.all([
      store.claim(key),
      ...Array.from({ length: 50 }, async () => store.claim({ ...key, fingerprint: 'cd' })),
    ]);
    assert.deepEqual(statements['claim'], [1]);
    assert.deepEqual(
      claims.map((claim) => ('operation' in claim ? [claim.result, claim.operation.fingerprint] : [])),
      claims.map((_, n) => [n === 0 ? 'claimed' : 'exists', 'ab']),
    );
  });

  it('a refused call does not refuse a valid one under the same key', async () => {
    const good = payment();
    const results = await Promise.allSettled([store.claim({ ...good, amountMinor: -1 }), store.claim(good)]);
    assert.equal(results[0].status, 'rejected');
    assert.equal(results[1].status === 'fulfilled' && results[1].value.result, 'claimed');
  });

  it('of a settlement and a take-over at once exactly one gets the payment', async () => {
    for (let round = 0; round < 15; round++) {
      const operations = some(12);
      await begin(operations);
      await endLeases(operations);
      const [finished, taken] = await Promise.all([
        Promise.all(operations.map(async (one) => store.finish(one, 1, charged, '{}'))),
        Promise.all(operations.map(async (one) => other.takeOver(one, 1))),
      ]);
      for (const [index, one] of operations.entries()) {
        assert.equal(finished[index], taken[index] === undefined, one.transactionId);
        assert.equal((await store.load(one))?.phase, finished[index] ? 'answered' : 'charging');
      }
    }
  });

  it('each payment is posted once, however often it is finished', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.record({ n: fc.nat(5), attempt: fc.integer({ min: 1, max: 2 }), b: fc.boolean() }), {
          maxLength: 30,
        }),
        async (calls) => {
          const operations = some(6);
          await begin(operations);
          const done = await Promise.all(
            calls.map(async ({ n, attempt, b }) =>
              (b ? other : store).finish(operations[n]!, attempt, charged, '{}'),
            ),
          );
          const wanted = new Set(calls.filter(({ attempt }) => attempt === 1).map(({ n }) => n)).size;
          assert.equal(done.filter(Boolean).length, wanted);
          const [row] = await pool.query(
            'SELECT count(*) AS postings FROM postings WHERE transaction_id = ANY ($1::uuid[])',
            [idsOf(operations)],
          );
          assert.deepEqual(row, { postings: wanted });
        },
      ),
      { numRuns: 20 },
    );
  });
});

describe('concurrent statements take keys in ascending order', () => {
  let session: SqlSession;
  before(async () => {
    session = await openSession({
      url: database.url,
      applicationName: 'test-other',
      connectTimeoutMs: 5_000,
      statementTimeoutMs: 5_000,
      lockTimeoutMs: 2_000,
      idleInTransactionTimeoutMs: 30_000,
    });
  });
  after(() => session.close());

  /**
   * The other session holds the lowest key. A statement that waits for it must hold no higher key.
   */
  async function assertAscending(
    take: (operation: NewOperation) => string,
    operations: readonly [NewOperation, NewOperation, NewOperation],
    write: (operation: NewOperation) => Promise<unknown>,
  ): Promise<void> {
    await session.query('BEGIN');
    await session.query(take(operations[0]));
    const written = Promise.all([...operations].reverse().map(write));
    await untilBlocked();
    await session.query(take(operations[1]));
    await session.query(take(operations[2]));
    await session.query('ROLLBACK');
    await written;
  }

  async function untilBlocked(): Promise<void> {
    const blocked = `SELECT 1 FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()`;
    await until('a statement that waits for a lock', async () => (await pool.query(blocked)).length > 0, {
      timeoutMs: 10_000,
    });
  }

  const lock = ({ transactionId }: NewOperation) =>
    `SELECT 1 FROM operations WHERE transaction_id = '${transactionId}' FOR UPDATE`;

  it('concurrent claims cannot deadlock', async () => {
    const operations = ascending(3) as [NewOperation, NewOperation, NewOperation];
    const insert = ({ transactionId, processorKey }: NewOperation) =>
      `INSERT INTO operations (caller, transaction_id, kind, payer, amount_minor, currency, processor_key, holder, lease_until)
       VALUES ('gateway', '${transactionId}', 'charge', 'eve', 1, 'EUR', '${processorKey}', 'eve', now())`;
    await assertAscending(insert, operations, async (one) =>
      assert.equal((await store.claim(one)).result, 'claimed'),
    );
  });

  it('concurrent phase changes cannot deadlock', async () => {
    const operations = ascending(3) as [NewOperation, NewOperation, NewOperation];
    await Promise.all(operations.map(async (one) => store.claim(one)));
    await assertAscending(lock, operations, async (one) =>
      assert.equal(await store.recordCharging(one, 1), true),
    );
  });

  it('concurrent settlements cannot deadlock', async () => {
    const operations = ascending(3) as [NewOperation, NewOperation, NewOperation];
    await begin(operations);
    await assertAscending(lock, operations, async (one) =>
      assert.equal(await store.finish(one, 1, charged, '{}'), true),
    );
  });
});

it('the migration can be undone and repeated with payments in the table', async () => {
  const folder = fileURLToPath(new URL('../../migrations', import.meta.url));
  const go = async (to: string) => migrate({ url: database.url, folder, table: 'billing_schema', to });
  assert.deepEqual(await go('1'), ['002.undo.gathered.sql']);
  await assert.rejects(store.claim(payment()), { code: 'sql.42883' });
  assert.deepEqual(await go('2'), ['002.do.gathered.sql']);
  assert.equal((await store.claim(payment())).result, 'claimed');
});
