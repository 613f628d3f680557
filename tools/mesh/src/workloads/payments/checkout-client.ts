/** The calls of one customer to the gateway's checkout; a call without an answer is repeated. */
import { CheckoutAccepted, CheckoutView, isDocument, ProblemDocument } from '@thermomesh/contracts';
import { type MeshError, messageOf, sleep } from '@thermomesh/runtime';
import { meshError } from '../../errors.ts';
import type { Order } from './orders.ts';

/** Time limit of one HTTP call; a frozen gateway must not hold up its customers. */
const tryTimeoutMs = 4_000;
const pauseFirstMs = 20;
const pauseMaxMs = 500;
/**
 * Upper bound of the gateway's Retry-After, because the run measures how soon the gateway is back.
 */
const retryAfterMsMax = 1_000;
/** Statuses of a temporary failure, after which a call is repeated. */
const passing = new Set([408, 409, 425, 429, 500, 502, 503, 504]);

export interface CheckoutClient {
  /**
   * Sends the order's POST until there is a 202.
   * @throws MeshError `payments.refused` for an answer that a repetition does not change,
   *   `payments.given_up` if the signal aborts
   */
  checkout(order: Order, signal: AbortSignal): Promise<CheckoutAccepted>;
  /**
   * Reads the checkout; undefined if there is no answer now.
   * @throws MeshError `payments.refused`
   */
  look(checkoutId: string): Promise<CheckoutView | undefined>;
  /** Number of HTTP calls so far that carried a POST. */
  readonly attempts: number;
}

export function createCheckoutClient(url: string, token: string): CheckoutClient {
  const authorization = `Bearer ${token}`;
  let attempts = 0;
  return {
    get attempts() {
      return attempts;
    },
    async checkout(order, signal) {
      const body = JSON.stringify(bodyOf(order));
      const headers = { authorization, 'content-type': 'application/json', 'idempotency-key': order.key };
      for (let tries = 0; ; tries += 1) {
        if (signal.aborted) throw meshError('payments.given_up', 'no 202 in time');
        attempts += 1;
        const answer = await call(`${url}/v1/checkouts`, { method: 'POST', headers, body });
        if (answer.status === 202 && isDocument(CheckoutAccepted, answer.body)) return answer.body;
        if (!answer.passes) throw refused(answer);
        const boundMs = Math.min(pauseMaxMs, pauseFirstMs * 2 ** Math.min(tries, 10));
        const pauseMs = Math.max(Math.random() * boundMs, answer.retryAfterMs);
        await sleep(pauseMs, signal);
      }
    },
    async look(checkoutId) {
      const answer = await call(`${url}/v1/checkouts/${checkoutId}`, { headers: { authorization } });
      if (answer.status === 200 && isDocument(CheckoutView, answer.body)) return answer.body;
      if (answer.passes) return undefined;
      throw refused(answer);
    },
  };
}

function bodyOf({ payer, amountMinor, currency, paymentToken }: Order): Record<string, unknown> {
  return { payer, amountMinor, currency, paymentToken };
}

interface HttpAnswer {
  /** 0 without an answer. */
  status: number;
  body: unknown;
  passes: boolean;
  retryAfterMs: number;
}

async function call(url: string, init: RequestInit): Promise<HttpAnswer> {
  try {
    const response = await fetch(url, { ...init, signal: AbortSignal.timeout(tryTimeoutMs) });
    const text = await response.text();
    const seconds = Number(response.headers.get('retry-after') ?? 0);
    return {
      status: response.status,
      body: parsed(text),
      passes: passing.has(response.status),
      retryAfterMs: Number.isFinite(seconds) ? Math.min(retryAfterMsMax, seconds * 1_000) : 0,
    };
  } catch (error) {
    // The call was refused, broken or not answered; the request may have arrived nevertheless.
    return { status: 0, body: messageOf(error), passes: true, retryAfterMs: 0 };
  }
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    // The body is cut off or not JSON, so only the status counts.
    return text;
  }
}

function refused({ status, body }: HttpAnswer): MeshError {
  const problem = isDocument(ProblemDocument, body) ? `${body.code ?? body.title}: ${body.detail ?? ''}` : '';
  return meshError('payments.refused', `HTTP ${status} ${problem}`.trim());
}
