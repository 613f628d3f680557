import assert from 'node:assert/strict';
import { it } from 'node:test';
import { BillingNoAnswerError, BillingRefusedError } from '@thermomesh/billing-client';
import type { PaymentDocument } from '@thermomesh/contracts';
import { finalOf, finalOfRefusal } from './outcome.ts';

const payment: PaymentDocument = {
  transactionId: 't',
  status: 'charged',
  payer: 'alice',
  amountMinor: 1,
  currency: 'EUR',
  processorReference: 'r',
  reason: null,
  answeredAt: '2026-01-01T00:00:00.000Z',
};

it('charged and declined are final, with the reason of a decline', () => {
  assert.deepEqual(finalOf(payment), { status: 'charged', reason: null });
  assert.deepEqual(finalOf({ ...payment, status: 'declined', reason: 'no funds' }), {
    status: 'declined',
    reason: 'no funds',
  });
  assert.equal(finalOf({ ...payment, status: 'declined' }).reason, 'declined');
});

it('a refusal of the request itself is final', () => {
  for (const status of [400, 413]) {
    const final = finalOfRefusal(new BillingRefusedError(status, 'payments.x', 'no'));
    assert.deepEqual(final, { status: 'failed', reason: 'payments.x: no' });
  }
});

it('a payment that may be charged is never failed', () => {
  for (const error of [
    ...[401, 403, 404, 410, 422].map((status) => new BillingRefusedError(status, 'x', 'no')),
    new BillingNoAnswerError('timeout', { sent: true }),
    new TypeError('x'),
  ])
    assert.equal(finalOfRefusal(error), undefined);
});
