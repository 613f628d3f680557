import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { CheckoutView } from '@thermomesh/contracts';
import { MeshError } from '@thermomesh/runtime';
import type { CheckoutClient } from './checkout-client.ts';
import { startCustomers, type CustomersOptions } from './customers.ts';
import { planOrders, type Order } from './orders.ts';

const viewOf = (order: Order, status: CheckoutView['status']): CheckoutView => ({
  checkoutId: `of ${order.key}`,
  status,
  transactionId: `t ${order.key}`,
  payer: order.payer,
  amountMinor: order.amountMinor,
  currency: order.currency,
  createdAt: '2026-01-01T00:00:00Z',
});

/** A fake checkout whose orders are final at the second look. */
function fakeClient(orders: readonly Order[], more: Partial<CheckoutClient> = {}): CheckoutClient {
  const looks = new Map<string, number>();
  return {
    attempts: 0,
    checkout: async ({ key }) => ({ checkoutId: `of ${key}`, status: 'accepted', statusUrl: '/' }),
    async look(checkoutId) {
      const seen = (looks.get(checkoutId) ?? 0) + 1;
      looks.set(checkoutId, seen);
      const order = orders.find(({ key }) => checkoutId === `of ${key}`) ?? assert.fail(checkoutId);
      return viewOf(order, seen > 1 ? 'charged' : 'accepted');
    },
    ...more,
  };
}

function open(orders: Order[], more: Partial<CustomersOptions> = {}) {
  const giveUp = new AbortController();
  const notes: string[] = [];
  const customers = startCustomers({
    client: fakeClient(orders),
    orders,
    concurrency: 3,
    mayBegin: async () => true,
    giveUp: giveUp.signal,
    note: (event, order) => notes.push(`${event} ${orders.indexOf(order)}`),
    ...more,
  });
  return { customers, notes, giveUp };
}

describe('the customers', () => {
  it('every request gets a 202, every order a final answer, and the ledger has both', async () => {
    const { orders } = planOrders(1, 7, 25);
    const { customers, notes } = open(orders);
    await customers.finished;
    for (const order of orders) {
      assert.equal(order.acknowledged, order.requests);
      assert.equal(order.checkoutIds.size, 1);
      assert.equal(order.finals.size, 1);
    }
    assert.deepEqual(customers.progress(), { acknowledged: 25, final: 7 });
    assert.equal(customers.open().size, 0);
    assert.equal(notes.filter((note) => note.startsWith('sent')).length, 7);
    assert.equal(notes.filter((note) => note.startsWith('accepted')).length, 25);
  });

  it('accepted settles before anything is final, and open orders are known', async () => {
    const { orders } = planOrders(1, 2, 6);
    const pending = fakeClient(orders, { look: async () => undefined });
    const { customers, giveUp } = open(orders, { client: pending });
    await customers.accepted;
    assert.deepEqual(customers.open(), new Set(orders.map(({ key }) => key)));
    giveUp.abort();
    await customers.finished;
    assert.equal(customers.finals.length, 0);
  });

  it('an order that waits for the gate does not count as accepted', async () => {
    const { orders } = planOrders(1, 2, 2);
    const gate = Promise.withResolvers<boolean>();
    const { customers } = open(orders, { mayBegin: async (index) => index === 0 || gate.promise });
    let settled = false;
    void customers.accepted.then(() => (settled = true));
    await new Promise((resolve) => setImmediate(resolve));
    assert.equal(settled, false);
    gate.resolve(true);
    await customers.finished;
    await customers.accepted;
    assert.deepEqual(
      orders.map(({ acknowledged }) => acknowledged),
      [1, 1],
    );
  });

  it('a closed gate ends the run with the orders that have begun', async () => {
    const { orders } = planOrders(1, 5, 5);
    const { customers } = open(orders, { mayBegin: async (index) => index < 2 });
    await customers.accepted;
    await customers.finished;
    assert.equal(orders.filter(({ acknowledged }) => acknowledged > 0).length, 2);
  });

  it('a refusal is recorded with its order, as is a changed checkout or answer', async () => {
    const { orders } = planOrders(1, 3, 9);
    const [refused, renamed, changed] = orders;
    assert.ok(refused !== undefined && renamed !== undefined && changed !== undefined);
    const names = new Map<string, number>();
    const liar = fakeClient(orders, {
      async checkout(order) {
        if (order === refused) throw new MeshError('payments.refused', 'HTTP 422');
        const times = (names.get(order.key) ?? 0) + 1;
        names.set(order.key, times);
        const other = order === renamed && times > 1 ? ' again' : '';
        return { checkoutId: `of ${order.key}${other}`, status: 'accepted', statusUrl: '/' };
      },
      look: async (checkoutId) => {
        const order = orders.find(({ key }) => checkoutId === `of ${key}`) ?? assert.fail(checkoutId);
        return viewOf(order, order === changed && order.finals.size > 0 ? 'declined' : 'charged');
      },
    });
    const { customers } = open(orders, { client: liar });
    await customers.finished;
    assert.equal(refused.refused, 'HTTP 422');
    assert.equal(renamed.checkoutIds.size, 2);
    assert.equal(changed.finals.size, 2);
  });
});
