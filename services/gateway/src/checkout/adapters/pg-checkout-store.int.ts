import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { after, before, beforeEach, describe, it } from 'node:test';
import { migrate } from '@thermomesh/sql';
import type { CheckoutStore } from '../core/ports.ts';
import { checkoutDatabase, migrations, newOrder, type CheckoutDatabase } from '../testing.ts';
import { createCheckoutStore } from './pg-checkout-store.ts';

const requeueMs = 60_000;
let database: CheckoutDatabase;
let store: CheckoutStore;

before(async () => {
  database = await checkoutDatabase();
  store = createCheckoutStore(database.pool);
});
beforeEach(() => database.pool.query('DELETE FROM checkout_outbox'));
after(() => database.drop());

const outbox = async () =>
  (await database.pool.query<{ id: string }>('SELECT checkout_id AS id FROM checkout_outbox ORDER BY 1')).map(
    ({ id }) => id,
  );
const due = () => database.pool.query("UPDATE checkout_outbox SET due_at = now() - interval '1 ms'");

describe('one customer key, one order', () => {
  it('of concurrent calls with one key one creates the checkout and all get its id', async () => {
    const customerKey = randomUUID();
    const orders = Array.from({ length: 40 }, () => newOrder({ customerKey }));
    const results = await Promise.all(orders.map((order) => store.accept(order)));
    assert.equal(results.filter(({ created }) => created).length, 1);
    assert.equal(new Set(results.map(({ checkoutId }) => checkoutId)).size, 1);
    assert.equal((await outbox()).length, 1);
  });

  it('a repeated order gets the stored fingerprint and does not change the order', async () => {
    const first = newOrder({ fingerprint: 'aa', amountMinor: 1 });
    await store.accept(first);
    const again = await store.accept(newOrder({ ...first, checkoutId: randomUUID(), fingerprint: 'bb' }));
    assert.deepEqual(again, { checkoutId: first.checkoutId, fingerprint: 'aa', created: false });
    assert.equal((await store.find(first.caller, first.checkoutId))?.amountMinor, 1);
  });

  it('the same key of two callers is two orders, and each sees only its own', async () => {
    const first = newOrder({ caller: 'key:1' });
    const other = newOrder({ caller: 'key:2', customerKey: first.customerKey });
    await store.accept(first);
    assert.equal((await store.accept(other)).created, true);
    assert.equal(await store.find('key:1', other.checkoutId), undefined);
    assert.deepEqual(
      (await store.list({ caller: 'key:2', limit: 10 })).map(({ checkoutId }) => checkoutId),
      [other.checkoutId],
    );
  });
});

describe('the outbox', () => {
  it('an accepted checkout stays in the outbox until it is final', async () => {
    const order = newOrder();
    await store.accept(order);
    for (const handOvers of [1, 2, 3]) {
      assert.deepEqual(await store.claimDue(10, requeueMs), [{ checkoutId: order.checkoutId, handOvers }]);
      assert.deepEqual(await store.claimDue(10, requeueMs), [], 'a claimed row is not due');
      assert.deepEqual(await outbox(), [order.checkoutId]);
      await due();
    }
    assert.equal((await store.outbox()).depth, 1);
    assert.equal(await store.finish(order.checkoutId, { status: 'charged', reason: null }), true);
    assert.deepEqual(await outbox(), []);
  });

  it('an order whose outbox row cannot be written is not stored', async () => {
    const order = newOrder();
    await database.pool.query('ALTER TABLE checkout_outbox ADD CONSTRAINT none CHECK (hand_overs > 0)');
    try {
      await assert.rejects(store.accept(order), { code: 'sql.data_refused' });
    } finally {
      await database.pool.query('ALTER TABLE checkout_outbox DROP CONSTRAINT none');
    }
    assert.equal(await store.find(order.caller, order.checkoutId), undefined);
  });

  it('concurrent relays take different rows, and released rows are due again', async () => {
    const orders = Array.from({ length: 30 }, () => newOrder());
    for (const order of orders) await store.accept(order);
    const first = await store.claimDue(2, requeueMs);
    assert.deepEqual(
      new Set(first.map(({ checkoutId }) => checkoutId)),
      new Set(orders.slice(0, 2).map(({ checkoutId }) => checkoutId)),
    );
    const batches = await Promise.all(Array.from({ length: 7 }, () => store.claimDue(4, requeueMs)));
    const claimed = [...first, ...batches.flat()].map(({ checkoutId }) => checkoutId);
    assert.equal(new Set(claimed).size, claimed.length);
    await store.release(claimed.slice(0, 3));
    const again = (await store.claimDue(100, requeueMs)).filter(({ handOvers }) => handOvers === 2);
    assert.equal(again.length, 3);
  });
});

describe('the final answer', () => {
  it('a late answer changes nothing of a final checkout, whose token is destroyed', async () => {
    const order = newOrder();
    await store.accept(order);
    assert.deepEqual((await store.open(order.checkoutId))?.tokenBox, order.tokenBox);
    assert.deepEqual(await store.finals([order.checkoutId]), []);
    const answers = await Promise.all(
      (['charged', 'declined', 'failed'] as const).map((status) =>
        store.finish(order.checkoutId, { status, reason: status === 'charged' ? null : 'why' }),
      ),
    );
    assert.equal(answers.filter(Boolean).length, 1);
    const [row] = await database.pool.query('SELECT token_box FROM checkouts WHERE checkout_id = $1', [
      order.checkoutId,
    ]);
    assert.deepEqual(row, { token_box: null });
    assert.equal(await store.open(order.checkoutId), undefined);
    const final = await store.find(order.caller, order.checkoutId);
    assert.deepEqual(await store.finals([order.checkoutId, randomUUID()]), [final]);
    assert.equal(await store.finish(order.checkoutId, { status: 'declined', reason: 'late' }), false);
    assert.deepEqual(await store.find(order.caller, order.checkoutId), final);
  });

  it('the database refuses to change the order, to change a final answer, or to delete', async () => {
    const order = newOrder();
    await store.accept(order);
    const refused = async (text: string) =>
      assert.rejects(database.pool.query(text, [order.checkoutId]), { code: 'sql.TM010' });
    await refused('UPDATE checkouts SET amount_minor = 1 WHERE checkout_id = $1');
    await refused('UPDATE checkouts SET transaction_id = gen_random_uuid() WHERE checkout_id = $1');
    await store.finish(order.checkoutId, { status: 'failed', reason: 'x' });
    await refused("UPDATE checkouts SET status = 'charged' WHERE checkout_id = $1");
    await refused('DELETE FROM checkouts WHERE checkout_id = $1');
  });
});

it('lists page newest first and filter by status', async () => {
  const caller = `key:${randomUUID()}`;
  const orders = Array.from({ length: 5 }, () => newOrder({ caller }));
  for (const order of orders) await store.accept(order);
  const ids = orders.map(({ checkoutId }) => checkoutId).reverse();
  const first = await store.list({ caller, limit: 3 });
  const rest = await store.list({ caller, limit: 3, beforeId: first.at(-1)!.id });
  assert.deepEqual(
    [...first, ...rest].map(({ checkoutId }) => checkoutId),
    ids,
  );
  await store.finish(ids[0]!, { status: 'declined', reason: 'no funds' });
  const declined = await store.list({ caller, limit: 3, status: 'declined' });
  assert.deepEqual(
    declined.map(({ reason }) => reason),
    ['no funds'],
  );
});

it('the schema migrates down and up again', async () => {
  const own = await checkoutDatabase();
  try {
    await migrate({ url: own.url, ...migrations, to: '0' });
    assert.deepEqual(await own.pool.query("SELECT 1 FROM pg_tables WHERE tablename LIKE 'checkout%'"), []);
    await migrate({ url: own.url, ...migrations });
    assert.equal((await createCheckoutStore(own.pool).accept(newOrder())).created, true);
  } finally {
    await own.drop();
  }
});
