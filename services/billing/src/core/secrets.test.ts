import assert from 'node:assert/strict';
import { it } from 'node:test';
import fc from 'fast-check';
import { createSecrets, deriveProcessorKey } from './secrets.ts';
import type { Order } from './operation.ts';

const secrets = createSecrets('b'.repeat(32));
const key = { caller: 'gateway', transactionId: '0b4e7b0c-1f0e-4e56-9c5d-5a6b7c8d9e0f' };
const charge: Order = { kind: 'charge', payer: 'a', amountMinor: 100, currency: 'EUR', paymentToken: 'tok' };

it('a sealed token opens for its own key only and is not visible', () => {
  fc.assert(
    fc.property(fc.string({ unit: 'grapheme', minLength: 1 }), (token) => {
      const box = secrets.seal(key, token);
      assert.equal(secrets.open(key, box), token);
      assert.ok(token.length < 4 || !box.includes(token));
    }),
  );
  const box = secrets.seal(key, 'tok');
  const other = { ...key, caller: 'shop' };
  assert.throws(() => secrets.open(other, box), { code: 'payments.token_unreadable' });
  assert.throws(() => createSecrets('c'.repeat(32)).open(key, box), { code: 'payments.token_unreadable' });
  for (const length of [0, 5, 20, box.length - 1])
    assert.throws(() => secrets.open(key, box.subarray(0, length)), { code: 'payments.token_unreadable' });
});

it('every parameter changes the fingerprint', () => {
  const others: Order[] = [
    { ...charge, payer: 'b' },
    { ...charge, amountMinor: 101 },
    { ...charge, currency: 'USD' },
    { ...charge, paymentToken: 'tok2' },
    { kind: 'refund', paymentId: key.transactionId, amountMinor: 100 },
  ];
  const prints = [charge, ...others].map((order) => secrets.fingerprint(order));
  assert.equal(new Set(prints).size, prints.length);
  assert.equal(secrets.fingerprint({ ...charge }), prints[0]);
  assert.notEqual(createSecrets('c'.repeat(32)).fingerprint(charge), prints[0]);
});

it('each caller, kind and UUID has a processor key of its own', () => {
  const keys = [
    deriveProcessorKey(key, 'charge'),
    deriveProcessorKey(key, 'refund'),
    deriveProcessorKey({ ...key, caller: 'shop' }, 'charge'),
  ];
  assert.equal(new Set(keys).size, 3);
  assert.equal(deriveProcessorKey({ ...key }, 'charge'), keys[0]);
});
