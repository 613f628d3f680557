import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { describe, it } from 'node:test';
import { BillingNoAnswerError, BillingRefusedError } from '@thermomesh/billing-client';
import type { PaymentRequest } from '@thermomesh/contracts';
import { createLog } from '@thermomesh/runtime';
import type { Final, NewCheckout } from './checkout.ts';
import { createOrders } from './orders.ts';
import { createCheckoutSecrets } from './secrets.ts';
import { settle } from './settle.ts';

const secrets = createCheckoutSecrets('s'.repeat(32));
const request = { payer: 'alice', amountMinor: 1_250, currency: 'EUR', paymentToken: 'tok_4242' };

/** A store in memory with orders by caller and key. */
function memory() {
  const orders = new Map<string, NewCheckout>();
  const finals = new Map<string, Final>();
  return {
    orders,
    finals,
    accept: async (order: NewCheckout) => {
      const name = `${order.caller} ${order.customerKey}`;
      const known = orders.get(name);
      if (known === undefined) orders.set(name, order);
      const { checkoutId, fingerprint } = known ?? order;
      return { checkoutId, fingerprint, created: known === undefined };
    },
    open: async (id: string) =>
      finals.has(id) ? undefined : [...orders.values()].find(({ checkoutId }) => checkoutId === id),
    finish: async (id: string, final: Final) => !finals.has(id) && finals.set(id, final) !== undefined,
  };
}

describe('orders', () => {
  it('the token is sealed for its checkout, and only the first call is new work', async () => {
    const store = memory();
    const accepted: boolean[] = [];
    const orders = createOrders({
      store,
      secrets,
      crash: () => undefined,
      newId: randomUUID,
      onAccepted: (replayed) => accepted.push(replayed),
    });
    const first = await orders.take('key:1', 'k', request);
    const again = await orders.take('key:1', 'k', { ...request });
    assert.deepEqual([first.type, { ...first, replayed: true }], ['accepted', again]);
    assert.deepEqual(accepted, [false, true]);
    const [stored] = store.orders.values();
    assert.ok(stored !== undefined && !JSON.stringify(stored).includes('tok_4242'));
    assert.ok(!stored.tokenBox.includes('tok_4242'));
    assert.equal(secrets.open(stored.checkoutId, stored.tokenBox), 'tok_4242');
    assert.throws(() => secrets.open('another', stored.tokenBox), { code: 'checkout.token_unreadable' });
  });

  it('the same key with any other parameter is refused', async () => {
    const orders = createOrders({
      store: memory(),
      secrets,
      crash: () => undefined,
      newId: randomUUID,
      onAccepted: () => undefined,
    });
    await orders.take('key:1', 'k', request);
    for (const other of [
      { payer: 'bob' },
      { amountMinor: 1 },
      { currency: 'USD' },
      { paymentToken: 'tok' },
      { reference: 'r' },
    ])
      assert.deepEqual(await orders.take('key:1', 'k', { ...request, ...other }), {
        type: 'other_parameters',
      });
  });
});

describe('an attempt', () => {
  async function one(pay: (id: string, payment: PaymentRequest) => Promise<never> | Promise<unknown>) {
    const store = memory();
    const orders = createOrders({
      store,
      secrets,
      crash: () => undefined,
      newId: randomUUID,
      onAccepted: () => undefined,
    });
    await orders.take('key:1', 'k', request);
    const [order] = store.orders.values();
    const deps = {
      store,
      billing: { pay: pay as never },
      secrets,
      crash: () => undefined,
      log: createLog('test', 'silent'),
      onFinal: () => undefined,
    };
    return { store, order: order!, run: () => settle(deps, order!.checkoutId) };
  }

  it('each attempt uses the stored transaction UUID; the first final answer stays', async () => {
    const asked: unknown[] = [];
    let answers = 0;
    const { order, run, store } = await one(async (id, payment) => {
      asked.push([id, payment]);
      if (answers++ === 0) throw new BillingNoAnswerError('timeout', { sent: true });
      return { status: 'charged', reason: null };
    });
    await assert.rejects(run(), { code: 'billing.timeout' });
    assert.equal(store.finals.size, 0, 'an attempt without an answer is not final');
    assert.deepEqual(await Promise.all([run(), run()]), ['settled', 'late']);
    assert.equal(await run(), 'late');
    assert.deepEqual(asked, Array(3).fill([order.transactionId, request]));
    assert.deepEqual(store.finals.get(order.checkoutId), { status: 'charged', reason: null });
  });

  it('only a refusal of the request itself ends a checkout as failed', async () => {
    const refused = await one(async () => {
      throw new BillingRefusedError(400, 'payments.bad', 'no such currency');
    });
    assert.equal(await refused.run(), 'settled');
    const final = refused.store.finals.get(refused.order.checkoutId);
    assert.deepEqual(final, { status: 'failed', reason: 'payments.bad: no such currency' });
    for (const [status, code] of [
      [401, 'access.unknown_key'],
      [410, 'payments.retired'],
      [422, 'payments.other_parameters'],
    ] as const) {
      const unknown = await one(async () => {
        throw new BillingRefusedError(status, code, 'no');
      });
      await assert.rejects(unknown.run(), { code });
      assert.equal(unknown.store.finals.size, 0);
    }
  });
});
