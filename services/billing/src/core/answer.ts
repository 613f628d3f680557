/** The final answer as the caller gets it: created once, stored as text, replayed byte for byte. */
import type { PaymentDocument, RefundDocument } from '@thermomesh/contracts';
import type { Outcome } from '@thermomesh/idempotency';
import type { Operation } from './operation.ts';

/** The final answer of the processor. */
export interface ProcessorAnswer {
  outcome: Outcome;
  reference: string;
  reason: string | null;
}

/**
 * Creates the JSON text of the final answer.
 * @param nowMs Unix ms, the time of the answer
 */
export function answerBody(operation: Operation, answer: ProcessorAnswer, nowMs: number): string {
  const { transactionId, payer, amountMinor, currency, paymentId } = operation;
  const common = {
    processorReference: answer.reference,
    reason: answer.reason,
    answeredAt: new Date(nowMs).toISOString(),
  };
  if (paymentId === null) {
    const document: PaymentDocument = {
      transactionId,
      status: answer.outcome,
      payer,
      amountMinor,
      currency,
      ...common,
    };
    return JSON.stringify(document);
  }
  const status = answer.outcome === 'charged' ? 'refunded' : 'declined';
  const document: RefundDocument = { transactionId, paymentId, status, amountMinor, currency, ...common };
  return JSON.stringify(document);
}
