import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { after, before, describe, it } from 'node:test';
import { fileURLToPath } from 'node:url';
import { createLog } from '@thermomesh/runtime';
import { sqlPatience, testDatabase, type TestDatabase } from '@thermomesh/servers';
import { createPool, migrate, type SqlPool } from '@thermomesh/sql';
import { readBillingConfig, settingsOf } from '../config.ts';
import { createService, type BillingService } from '../service.ts';
import { call, quickSettings, startProcessor, type TestProcessor } from '../testing.ts';

const token = 'tok_SECRETSECRET4242';
const good = { payer: 'alice', amountMinor: 1_250, currency: 'EUR', paymentToken: token };
let database: TestDatabase;
let pool: SqlPool;
let processor: TestProcessor;
let service: BillingService;
let url: string;
let logged = '';

before(async () => {
  database = await testDatabase();
  const folder = fileURLToPath(new URL('../../migrations', import.meta.url));
  await migrate({ url: database.url, folder, table: 'billing_schema' });
  pool = createPool({ ...sqlPatience, url: database.url, applicationName: 'test' });
  processor = await startProcessor(process.env);
  const config = readBillingConfig(quickSettings(database.url, processor.url));
  service = await createService(
    settingsOf(config),
    createLog('billing', 'trace', { write: (line) => void (logged += line) }),
  );
  await service.start();
  url = `http://127.0.0.1:${service.httpPort}`;
});
after(async () => {
  await service.stop();
  await processor.stop();
  await pool.close();
  await database.drop();
});

describe('bad requests', () => {
  const bodies: Record<string, unknown> = {
    'negative amount': { ...good, amountMinor: -1 },
    'no amount': { ...good, amountMinor: 0 },
    'fractional amount': { ...good, amountMinor: 12.5 },
    'huge amount': { ...good, amountMinor: 1e18 },
    'amount as text': { ...good, amountMinor: '1250' },
    'unknown currency': { ...good, currency: 'XBT' },
    'currency in lower case': { ...good, currency: 'eur' },
    'a field too many': { ...good, cvv: '123' },
    'a field too few': { payer: 'alice', amountMinor: 1, currency: 'EUR' },
    'a payer with a NUL': { ...good, payer: 'a\u0000b' },
    'a payer that tries SQL': { ...good, payer: `'; DROP TABLE operations; --` },
    'an empty token': { ...good, paymentToken: '' },
    'no object': [good],
  };
  for (const [name, body] of Object.entries(bodies)) {
    it(`${name} is 400, names the place and stores nothing`, async () => {
      const key = randomUUID();
      const answer = await call(url, { key, body });
      assert.equal(answer.status, 400);
      assert.equal(answer.body['status'], 400);
      assert.equal(answer.body['in'], 'body');
      assert.ok(!answer.text.includes(token));
      assert.deepEqual(await pool.query('SELECT 1 FROM operations WHERE transaction_id = $1', [key]), []);
    });
  }

  it('an infinite amount, invalid JSON and a large body get clear answers', async () => {
    const key = randomUUID();
    const infinite = JSON.stringify(good).replace('1250', '1e999');
    for (const [raw, status] of [
      [infinite, 400],
      ['{"payer":', 400],
      [JSON.stringify({ ...good, x: 'x'.repeat(20_000) }), 413],
    ] as const) {
      const answer = await call(url, { key, raw });
      assert.equal(answer.status, status, answer.text);
      assert.equal(typeof answer.body['detail'], 'string');
    }
  });

  it('a missing, empty or malformed key is 400, an unknown caller is 401', async () => {
    assert.equal((await call(url, { body: good })).body['code'], 'payments.missing_key');
    for (const key of ['1', 'x'.repeat(36), '00000000-0000-0000-0000-000000000000'])
      assert.equal((await call(url, { key, body: good })).body['code'], 'payments.bad_key', key);
    assert.equal((await call(url, { key: randomUUID(), body: good, caller: 'stranger' })).status, 401);
  });
});

describe('reads of a caller', () => {
  it('a caller pages through its own payments by status, payer and time', async () => {
    const keys: string[] = [];
    for (let n = 0; n < 7; n++) {
      if (n === 3) await processor.faults({ next: ['decline'] });
      const key = randomUUID();
      keys.unshift(key);
      await call(url, { key, body: { ...good, payer: n % 2 === 0 ? 'even' : 'odd' }, caller: 'shop' });
    }
    const list = async (query: string, caller = 'shop') => {
      const ids: string[] = [];
      let next = '';
      for (;;) {
        const route = `/v1/payments?limit=2${query}${next}`;
        const answer = await call(url, { method: 'GET', route, caller });
        const body = answer.body as { items: { transactionId: string }[]; next: string | null };
        ids.push(...body.items.map(({ transactionId }) => transactionId));
        if (body.next === null) return ids;
        next = `&cursor=${body.next}`;
      }
    };
    assert.deepEqual(await list(''), keys);
    assert.deepEqual(await list('&payer=odd'), [keys[1], keys[3], keys[5]]);
    assert.deepEqual(await list('&status=declined'), [keys[3]]);
    assert.deepEqual(await list(`&from=${Date.now() + 60_000}`), []);
    assert.deepEqual(await list(`&to=${Date.now() - 600_000}`), []);
    assert.deepEqual(await list(`&from=${Date.now() - 600_000}&to=${Date.now() + 60_000}&payer=even`), [
      ...[keys[0], keys[2], keys[4], keys[6]],
    ]);
    assert.deepEqual(await list('', 'gateway'), []);
    assert.equal((await call(url, { method: 'GET', route: `/v1/payments/${keys[0]}` })).status, 404);
    const view = await call(url, { method: 'GET', route: `/v1/payments/${keys[0]}`, caller: 'shop' });
    assert.equal(view.body['status'], 'charged');
    for (const query of [
      'limit=0',
      'limit=1001',
      'status=lost',
      'cursor=x',
      'colour=red',
      'from=never',
      'to=1.5',
      'from=2026-02-30',
    ])
      assert.equal((await call(url, { method: 'GET', route: `/v1/payments?${query}` })).status, 400, query);
  });

  it('an answer that is no longer kept is 410 and not a second charge', async () => {
    const key = randomUUID();
    await call(url, { key, body: good });
    await pool.query(
      `UPDATE operations SET answer_body = NULL, fingerprint = NULL, retired_at = now() WHERE transaction_id = $1`,
      [key],
    );
    const before = (await processor.ledger()).length;
    const answer = await call(url, { key, body: good });
    assert.deepEqual([answer.status, answer.body['code']], [410, 'payments.retired']);
    assert.equal((await processor.ledger()).length, before);
  });
});

it('secrets and card data are in no log, answer, metric or table', async () => {
  // PostgreSQL quotes a refused row in the detail of its message.
  await pool.query(`ALTER TABLE operations ADD CONSTRAINT no_mallory CHECK (payer <> 'mallory')`);
  await processor.faults({ next: ['drop-reply', 'refuse', 'hang'] });
  const key = randomUUID();
  const answers = [
    await call(url, { key, body: good }),
    await call(url, { key: 'bad', body: good }),
    await call(url, { key, body: { ...good, amountMinor: 1 } }),
    await call(url, { key: randomUUID(), body: { ...good, payer: 'mallory' } }),
    await call(url, { key: randomUUID(), body: { ...good, cardNumber: token } }),
    await call(url, { key: randomUUID(), raw: `{"paymentToken":"${token}"` }),
    await call(url, { method: 'GET', route: `/v1/payments/${key}` }),
    await call(url, { method: 'GET', route: `/v1/nothing` }),
  ];
  assert.deepEqual(
    answers.map(({ status }) => status),
    [201, 400, 422, 500, 400, 400, 200, 404],
  );
  assert.match(logged, /http\.failed/);
  const metrics = await (await fetch(`${url}/metrics`)).text();
  const tables = await pool.query<{ row: string }>('SELECT operations::text AS row FROM operations');
  assert.match(logged, /payment\.outcome_unknown/);
  assert.match(metrics, /thermomesh_billing_processor_sends_total/);
  const everything = [
    logged,
    metrics,
    ...answers.map(({ text }) => text),
    ...tables.map(({ row }) => row),
  ].join('\n');
  for (const secret of [
    token,
    Buffer.from(token).toString('hex'),
    ...Object.entries(quickSettings('x', 'y'))
      .filter(([name]) => name.endsWith('_SECRET'))
      .map(([, value]) => value),
  ])
    assert.ok(!everything.includes(secret), `found ${secret.slice(0, 6)}…`);
});
