/** What billing's answer means for a checkout. */
import { BillingRefusedError } from '@thermomesh/billing-client';
import type { PaymentDocument } from '@thermomesh/contracts';
import type { Final } from './checkout.ts';

/**
 * Refusals of the request as it stands: billing has looked no further, and no repetition changes them. The others decide nothing (I3).
 * 401, 403 and 404 refuse the gateway and say nothing about the payment. 410 and 422 speak of a payment that billing knows under
 * this key, and that may have been charged: every attempt sends the same stored parameters, so 422 means that billing fingerprints
 * them differently now (another BILLING_SECRET), and 410 that an answer was given once. People look before anybody is told "failed".
 */
const refusalsOfTheRequest = new Set([400, 413]);

/** Longest reason kept, in characters. */
const reasonCharsMax = 500;

/** The end that a payment document tells of. */
export function finalOf({ status, reason }: PaymentDocument): Final {
  return { status, reason: status === 'declined' ? clip(reason ?? 'declined') : null };
}

/** The end that a refusal is; undefined if the same call may still succeed. */
export function finalOfRefusal(error: unknown): Final | undefined {
  if (!(error instanceof BillingRefusedError) || !refusalsOfTheRequest.has(error.status)) return undefined;
  return { status: 'failed', reason: clip(`${error.code}: ${error.message}`) };
}

function clip(text: string): string {
  return text.slice(0, reasonCharsMax);
}
