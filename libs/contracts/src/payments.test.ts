import assert from 'node:assert/strict';
import { it } from 'node:test';
import currencyCodes from 'currency-codes';
import { isDocument } from './check.ts';
import { amountMinorMax, currencies, parseTransactionId, PaymentRequest } from './payments.ts';

const good = { payer: 'alice', amountMinor: 1_250, currency: 'EUR', paymentToken: 'tok_1' };

/** Codes of funds, which the package lists: no payment is made in them. */
const funds = 'BOV CHE CHW CLF COU MXV USN UYI UYW'.split(' ');
/** These are the only codes with a leading X that stand for money. */
const moneyWithX = ['XAF', 'XCD', 'XCG', 'XOF', 'XPF'];
/** The second code of the bolívar, beside VES. */
const second = 'VED';
/** Currencies that have ended since the list of the package was published, or shortly before. */
const ended = {
  ANG: '2025-03-31, replaced by XCG',
  BGN: '2025-12-31, replaced by EUR',
  CUC: '2021-06-30, replaced by CUP',
};
/** Publication of the list in the package. Look at the list again when this date changes. */
const published = '2024-06-25';

it('the currencies are those of the maintained list, without funds and ended ones', () => {
  assert.equal(currencyCodes.publishDate, published, 'the package has a newer list: compare the endings');
  const left = new Set([...funds, second, ...Object.keys(ended)]);
  const listed = currencyCodes.codes();
  assert.deepEqual(
    [...left].filter((code) => !listed.includes(code)),
    [],
    'the package dropped these',
  );
  const isMoney = (code: string) => !code.startsWith('X') || moneyWithX.includes(code);
  assert.deepEqual(listed.filter((code) => isMoney(code) && !left.has(code)).sort(), [...currencies]);
});

it('the currencies are real, sorted and unique', () => {
  assert.deepEqual([...new Set(currencies)].sort(), [...currencies]);
  const known = new Set(Intl.supportedValuesOf('currency'));
  assert.deepEqual(
    currencies.filter((code) => !known.has(code)),
    [],
  );
});

it('a payment with a hostile amount, currency, name or field is refused', () => {
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
