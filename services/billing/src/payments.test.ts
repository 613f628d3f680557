import assert from 'node:assert/strict';
import { it } from 'node:test';
import { createLog, createMetrics } from '@thermomesh/runtime';
import { createAnswerWatch } from './answers.ts';
import type { OperationStore, ProcessorClient } from './core/ports.ts';
import { createSecrets } from './core/secrets.ts';
import { createBillingMetrics } from './metrics.ts';
import { createPayments } from './payments.ts';

it('a claim that hangs is 503 and not 409, because the key was not seen', async () => {
  const claim = Promise.withResolvers<never>();
  const store = { claim: async () => claim.promise, answered: async () => [] } as unknown as OperationStore;
  const payments = createPayments({
    store,
    processor: {} as ProcessorClient,
    secrets: createSecrets('a secret of at least thirty-two characters'),
    metrics: createBillingMetrics(createMetrics({ defaults: false })),
    log: createLog('test', 'silent'),
    crash: () => undefined,
    limits: { sendsPerAttemptMax: 1, pauseMs: 1, doubtPauseMs: 1 },
    watch: createAnswerWatch(store, 1),
    answerWaitMs: 5,
  });
  const order = {
    kind: 'charge',
    payer: 'p1',
    amountMinor: 1,
    currency: 'EUR',
    paymentToken: 'tok',
  } as const;
  const key = { caller: 'gateway', transactionId: '6f1c2b8e-8a53-4f6e-9d5a-0d6d7b8f9a10' };
  await assert.rejects(payments.ask(key, order), { code: 'payments.busy', retriable: true });
  claim.reject(new Error('gone'));
  await payments.settle();
});
