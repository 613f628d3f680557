import assert from 'node:assert/strict';
import { it } from 'node:test';
import { isDocument } from './check.ts';
import { amountMinorMax, currencies, parseTransactionId, PaymentRequest } from './payments.ts';

const good = { payer: 'alice', amountMinor: 1_250, currency: 'EUR', paymentToken: 'tok_1' };

it('the currencies are real, sorted and each there once', () => {
  assert.deepEqual([...new Set(currencies)].sort(), [...currencies]);
  const known = new Set(Intl.supportedValuesOf('currency'));
  assert.deepEqual(
    currencies.filter((code) => !known.has(code)),
    [],
  );
});

it('a payment with a hostile amount, currency, name or field is no payment', () => {
  assert.ok(isDocument(PaymentRequest, good));
  for (const amountMinor of [0, -1, 1.5, '1', null, Infinity, Number.NaN, amountMinorMax + 1, 2 ** 60])
    assert.ok(!isDocument(PaymentRequest, { ...good, amountMinor }), String(amountMinor));
  for (const currency of ['eur', 'EURO', 'XTS', 'BTC', '', 978])
    assert.ok(!isDocument(PaymentRequest, { ...good, currency }), String(currency));
  for (const payer of ['', 'a b', "';--", '\u0000', 'x'.repeat(129), '…'])
    assert.ok(!isDocument(PaymentRequest, { ...good, payer }), payer);
  for (const paymentToken of ['', 'a b', 'x'.repeat(513), 'é'])
    assert.ok(!isDocument(PaymentRequest, { ...good, paymentToken }), paymentToken);
  assert.ok(!isDocument(PaymentRequest, { ...good, cvv: '123' }));
});

it('a UUID has one spelling', () => {
  assert.equal(
    parseTransactionId('0B4E7B0C-1F0E-4E56-9C5D-5A6B7C8D9E0F'),
    '0b4e7b0c-1f0e-4e56-9c5d-5a6b7c8d9e0f',
  );
  for (const text of [
    '',
    'x',
    '0b4e7b0c1f0e4e569c5d5a6b7c8d9e0f',
    '00000000-0000-0000-0000-000000000000',
    ' 0b4e7b0c-1f0e-4e56-9c5d-5a6b7c8d9e0f',
  ])
    assert.equal(parseTransactionId(text), undefined);
});
