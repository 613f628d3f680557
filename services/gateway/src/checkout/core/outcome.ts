/** What billing's answer means for a checkout. */
import { BillingRefusedError } from '@thermomesh/billing-client';
import type { PaymentDocument } from '@thermomesh/contracts';
import type { Final } from './checkout.ts';

/**
 * Refusals of the request itself, which no repetition changes. Others (401, 403, 404) refuse the gateway: they say nothing about
 * this payment, which an earlier attempt may have made, and end when somebody mends the configuration.
 */
const refusalsOfTheRequest = new Set([400, 410, 413, 422]);

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
