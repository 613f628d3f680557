import assert from 'node:assert/strict';
import { it } from 'node:test';
import { isDocument } from './check.ts';
import { CheckoutRequest, isCustomerKey } from './checkouts.ts';

const good = { payer: 'alice', amountMinor: 1_250, currency: 'EUR', paymentToken: 'tok_1' };

it('a checkout has the fields of a payment and a reference, and no other', () => {
  assert.ok(isDocument(CheckoutRequest, good));
  assert.ok(isDocument(CheckoutRequest, { ...good, reference: 'Rechnung №7' }));
  for (const reference of ['', 'a\u0000', 'a\nb', 'x'.repeat(129), 7])
    assert.ok(!isDocument(CheckoutRequest, { ...good, reference }), String(reference));
  for (const bad of [{ amountMinor: 1.5 }, { currency: 'eur' }, { payer: 'a b' }, { cvv: '123' }])
    assert.ok(!isDocument(CheckoutRequest, { ...good, ...bad }), JSON.stringify(bad));
  assert.ok(!isDocument(CheckoutRequest, { ...good, paymentToken: undefined }));
});

it('a customer’s key is 1–128 visible ASCII characters', () => {
  for (const key of ['a', 'order-1', '!'.repeat(128), '~']) assert.ok(isCustomerKey(key), key);
  for (const key of ['', ' a', 'a b', 'a, a', 'é', '\u0000', 'x'.repeat(129), 'a\n'])
    assert.ok(!isCustomerKey(key), JSON.stringify(key));
});
