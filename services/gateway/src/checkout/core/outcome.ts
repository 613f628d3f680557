/** Decides what an answer of billing means for a checkout. */
import { BillingRefusedError } from '@thermomesh/billing-client';
import type { PaymentDocument } from '@thermomesh/contracts';
import type { Final } from './checkout.ts';

/**
 * HTTP statuses with which billing refuses the request itself, before it does anything else; a
 * repetition gets the same refusal. The other statuses decide nothing (I3):
 *
 * - 401, 403 and 404 refuse the gateway and say nothing about the payment.
 * - 422 and 410 concern a payment that billing knows under this key and may have charged. Every
 *   attempt sends the same stored parameters, so 422 means that billing fingerprints them
 *   differently now (another BILLING_SECRET), and 410 that billing answered once and no longer
 *   keeps the answer. An operator has to look before a customer reads "failed".
 */
const refusalsOfTheRequest = new Set([400, 413]);

/** Maximum length of a stored reason, in characters. */
const reasonCharsMax = 500;

/** The final state that a payment document means. */
export function finalOf({ status, reason }: PaymentDocument): Final {
  return { status, reason: status === 'declined' ? clip(reason ?? 'declined') : null };
}

/** The final state that a refusal means; undefined if the same call may still succeed. */
export function finalOfRefusal(error: unknown): Final | undefined {
  if (!(error instanceof BillingRefusedError) || !refusalsOfTheRequest.has(error.status)) return undefined;
  return { status: 'failed', reason: clip(`${error.code}: ${error.message}`) };
}

function clip(text: string): string {
  return text.slice(0, reasonCharsMax);
}
