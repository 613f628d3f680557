import assert from 'node:assert/strict';
import { it } from 'node:test';
import type { IRetryBackoffContext } from 'cockatiel';
import { BillingNoAnswerError, BillingRefusedError } from './errors.ts';
import { createRetryBackoff, mayRetry } from './policy.ts';

const context = (error: Error): IRetryBackoffContext<unknown> => ({
  attempt: 1,
  signal: new AbortController().signal,
  result: { error },
});

const limits = { backoffFirstMs: 100, backoffMaxMs: 1_000 };

it('pauses respect their bounds, Retry-After and the deadline', () => {
  const lost = context(new BillingNoAnswerError('timeout', { sent: true }));
  for (let run = 0; run < 200; run++) {
    let backoff = createRetryBackoff(limits, () => 60_000).next(lost);
    for (const boundMs of [100, 200, 400, 800, 1_000, 1_000]) {
      assert.ok(backoff.duration >= 0 && backoff.duration < boundMs, `${backoff.duration} < ${boundMs}`);
      backoff = backoff.next(lost);
    }
    const asked = context(new BillingNoAnswerError('running', { sent: true, retryAfterMs: 5_000 }));
    assert.equal(backoff.next(asked).duration, 5_000);
    assert.equal(createRetryBackoff(limits, () => 70).next(asked).duration, 70);
    assert.equal(createRetryBackoff(limits, () => -1).next(asked).duration, 0);
  }
});

it('a refusal, an unknown error and a bug of billing are not tried again', () => {
  const errors = [
    new BillingRefusedError(422, 'x', 'x'),
    new TypeError('x'),
    new BillingNoAnswerError('failed', { sent: true, retriable: false }),
  ];
  for (const error of errors)
    for (const semantics of ['maybe', 'at-most-once', 'at-least-once'] as const)
      assert.equal(mayRetry(semantics, error), false);
});
