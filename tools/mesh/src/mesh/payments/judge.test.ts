import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import {
  judgePayments,
  processorKeyOf,
  type BookRow,
  type CheckoutRow,
  type Evidence,
  type LedgerEntry,
} from './judge.ts';
import { planOrders, type FinalStatus, type Order } from '../../workloads/payments/orders.ts';

interface World extends Evidence {
  orders: Order[];
  checkouts: CheckoutRow[];
  books: BookRow[];
  ledger: LedgerEntry[];
  late: Set<string>;
}

/** Three orders that went well, with all their records. */
function world(status: FinalStatus = 'charged'): World {
  const { orders, amounts } = planOrders(1, 3, 12);
  const made: World = { orders, checkouts: [], books: [], ledger: [], amounts, late: new Set() };
  for (const [index, order] of orders.entries()) {
    const { key, payer, amountMinor, currency } = order;
    const checkoutId = `checkout-${index}`;
    const transactionId = `transaction-${index}`;
    const same = { transactionId, payer, amountMinor, currency };
    order.acknowledged = order.requests;
    order.checkoutIds.add(checkoutId);
    order.finals.set('answer', { status, ...same });
    made.checkouts.push({ checkoutId, key, status, ...same });
    const charged = status === 'charged';
    made.books.push({
      ...same,
      answered: true,
      outcome: charged ? 'charged' : 'declined',
      postedMinor: charged ? amountMinor : null,
    });
    made.ledger.push({ key: processorKeyOf(transactionId), status, amountMinor, currency });
  }
  return made;
}

const first = <T>(list: readonly T[]): T => list[0] ?? assert.fail('empty');
const kinds = ({ findings }: ReturnType<typeof judgePayments>) => new Set(findings.map(({ kind }) => kind));

describe('the verdict on payments', () => {
  it('orders that went well pass, and all sums are equal', () => {
    const charged = judgePayments(world());
    assert.ok(charged.ok, JSON.stringify(charged.findings));
    assert.deepEqual(
      [
        charged.requests,
        charged.acknowledged,
        charged.uuids,
        charged.accepted,
        charged.charged,
        charged.declined,
      ],
      [12, 12, 3, 3, 3, 0],
    );
    assert.equal(new Set(Object.values(charged.sums)).size, 1);
    assert.ok(charged.sums.ledger > 0);
    const declined = judgePayments(world('declined'));
    assert.ok(declined.ok, JSON.stringify(declined.findings));
    assert.deepEqual([declined.charged, declined.declined, declined.sums.ledger], [0, 3, 0]);
  });

  it('a second charge for one order is found, also if the processor ignores keys', () => {
    for (const suffix of ['', '/another']) {
      const { ledger, ...rest } = world();
      const again = { ...first(ledger), key: `${first(ledger).key}${suffix}` };
      const verdict = judgePayments({ ...rest, ledger: [...ledger, again] });
      assert.equal(verdict.doubled, 1);
      assert.equal(verdict.ok, false);
      assert.equal(first(verdict.findings).key, first(rest.orders).key);
    }
  });

  it('a charge without an order is found by its amount, a foreign one is left alone', () => {
    const { ledger, amounts, ...rest } = world();
    const stray = { key: 'tm_unknown', status: 'charged', amountMinor: amounts.max, currency: 'EUR' };
    assert.equal(judgePayments({ ...rest, amounts, ledger: [...ledger, stray] }).doubled, 1);
    const strangers = { ...stray, amountMinor: amounts.max + 1 };
    assert.ok(judgePayments({ ...rest, amounts, ledger: [...ledger, strangers] }).ok);
  });

  it('two checkouts for one key are found', () => {
    const twice = world();
    first(twice.orders).checkoutIds.add('checkout-other');
    assert.equal(judgePayments(twice).doubled, 1);
    const rows = world();
    rows.checkouts.push({ ...first(rows.checkouts), checkoutId: 'checkout-other', status: 'accepted' });
    assert.ok(kinds(judgePayments(rows)).has('doubled'));
  });

  it('an accepted order that is gone is found', () => {
    const gone = world();
    gone.checkouts.shift();
    assert.equal(judgePayments(gone).lost, 1);
    const uncharged = world();
    uncharged.ledger.shift();
    const verdict = judgePayments(uncharged);
    assert.equal(verdict.lost, 1);
    assert.notEqual(verdict.sums.ledger, verdict.sums.accepted);
  });

  it('a differing amount is found in every record', () => {
    for (const record of ['checkouts', 'books', 'ledger'] as const) {
      const other = world();
      const records: readonly { amountMinor: number }[] = other[record];
      first(records).amountMinor += 1;
      const verdict = judgePayments(other);
      assert.equal(verdict.differing, 1, record);
      assert.equal(verdict.ok, false, record);
    }
    const posted = world();
    first(posted.books).postedMinor = 1;
    assert.equal(judgePayments(posted).differing, 1);
    const currency = world();
    first(currency.ledger).currency = 'USD';
    assert.equal(judgePayments(currency).differing, 1);
  });

  it('a charge after a decline, a changed answer and a changed checkout are found', () => {
    const declined = world('declined');
    first(declined.ledger).status = 'charged';
    assert.equal(judgePayments(declined).differing, 1);
    const changed = world();
    const { key: _key, checkoutId: _id, status: _status, ...same } = first(changed.checkouts);
    first(changed.orders).finals.set('another', { status: 'declined', ...same });
    assert.equal(judgePayments(changed).differing, 1);
    const moved = world();
    first(moved.checkouts).checkoutId = 'checkout-other';
    assert.equal(judgePayments(moved).differing, 1);
  });

  it('valid orders that end as failed are lost, though all records agree', () => {
    const failed = world('failed');
    // Billing has refused them, so there is no operation and no charge.
    Object.assign(failed, { books: [], ledger: [] });
    const verdict = judgePayments(failed);
    assert.equal(verdict.ok, false);
    assert.deepEqual([verdict.failed, verdict.lost, verdict.charged], [3, 3, 0]);
    assert.equal(new Set(Object.values(verdict.sums)).size, 1);
    assert.match(first(verdict.findings).detail, /a valid order was ended as failed/);
  });

  it('a decline that the processor has not made is found, also beside a real one', () => {
    const invented = world('declined');
    invented.ledger.shift();
    const verdict = judgePayments(invented);
    assert.equal(verdict.ok, false);
    assert.deepEqual([verdict.declined, verdict.differing, verdict.lost], [3, 1, 0]);
    assert.deepEqual(
      verdict.findings.map(({ kind, key }) => [kind, key]),
      [['differs', first(invented.orders).key]],
    );
    const suffixed = world('declined');
    first(suffixed.ledger).key += '/another';
    assert.ok(judgePayments(suffixed).ok);
  });

  it('a missing or late final answer and an open payment are in doubt', () => {
    const none = world();
    first(none.orders).finals.clear();
    assert.equal(judgePayments(none).inDoubt, 1);
    const late = world();
    late.late.add(first(late.orders).key);
    assert.equal(judgePayments(late).inDoubt, 1);
    const open = world();
    Object.assign(first(open.books), { answered: false, outcome: null, postedMinor: null });
    assert.equal(judgePayments(open).inDoubt, 1);
  });

  it('a request without a 202 fails the run without a broken promise', () => {
    const unacknowledged = world();
    first(unacknowledged.orders).acknowledged -= 1;
    const verdict = judgePayments(unacknowledged);
    assert.equal(verdict.ok, false);
    assert.deepEqual(verdict.findings, []);
    const refused = world();
    first(refused.orders).refused = 'HTTP 422';
    assert.equal(judgePayments(refused).lost, 1);
  });
});

describe('the orders of a run', () => {
  it('every order of a run has its own amount, and requests are shared out', () => {
    const { orders, amounts } = planOrders(7, 4, 10);
    assert.deepEqual(
      orders.map(({ requests }) => requests),
      [3, 3, 2, 2],
    );
    assert.equal(new Set(orders.map(({ amountMinor }) => amountMinor)).size, 4);
    assert.deepEqual(
      [
        Math.min(...orders.map(({ amountMinor }) => amountMinor)),
        Math.max(...orders.map(({ amountMinor }) => amountMinor)),
      ],
      [amounts.min, amounts.max],
    );
  });

  it('the same seed gives the same amounts and never the same keys', () => {
    const [one, other] = [planOrders(7, 4, 10), planOrders(7, 4, 10)];
    assert.deepEqual(one.amounts, other.amounts);
    assert.notEqual(one.payerPrefix, other.payerPrefix);
    assert.equal(new Set([...one.orders, ...other.orders].map(({ key }) => key)).size, 8);
  });
});
