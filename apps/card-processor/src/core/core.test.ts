import assert from 'node:assert/strict';
import { it } from 'node:test';
import { Book, type Entry } from './book.ts';
import { Faults, noFaults } from './faults.ts';

const charge: Entry = {
  kind: 'charge',
  key: 'k1',
  id: 'c1',
  amountMinor: 100,
  currency: 'EUR',
  fingerprint: 'f',
  atMs: 0,
  status: 'charged',
  reason: null,
};

it('planned faults come once and in order, then none', () => {
  const faults = new Faults(1);
  faults.plan = { ...noFaults, next: ['hang', 'drop-reply'] };
  assert.deepEqual([faults.draw(), faults.draw(), faults.draw()], ['hang', 'drop-reply', undefined]);
  assert.deepEqual(faults.given, { hang: 1, 'drop-reply': 1 });
});

it('faults by rate match their rates and repeat with the same seed', () => {
  const draws = (seed: number) => {
    const faults = new Faults(seed);
    faults.plan = { ...noFaults, rates: { 'drop-reply': 0.25, refuse: 0.25 } };
    return Array.from({ length: 4_000 }, () => faults.draw());
  };
  const once = draws(7);
  assert.deepEqual(once, draws(7));
  for (const name of ['drop-reply', 'refuse', undefined] as const) {
    const n = once.filter((fault) => fault === name).length;
    const wanted = name === undefined ? 2_000 : 1_000;
    assert.ok(Math.abs(n - wanted) < 150, `${name}: ${n}`);
  }
});

it('refunds never exceed their charge', () => {
  const book = new Book();
  book.add(charge);
  assert.equal(book.refundIssue('c1', 100, 'EUR'), null);
  book.add({
    ...charge,
    kind: 'refund',
    key: 'k2',
    id: 'r1',
    charge: 'c1',
    amountMinor: 60,
    status: 'refunded',
  });
  assert.equal(book.refundIssue('c1', 40, 'EUR'), null);
  assert.equal(book.refundIssue('c1', 41, 'EUR'), 'exceeds_charge');
  assert.equal(book.refundIssue('c1', 1, 'USD'), 'other_currency');
  assert.equal(book.refundIssue('r1', 1, 'EUR'), 'unknown_charge');
});
