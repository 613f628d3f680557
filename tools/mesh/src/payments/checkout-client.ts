/** One customer's calls of the gateway's checkout; what is no answer is asked again. */
import { setTimeout as delay } from 'node:timers/promises';
import { CheckoutAccepted, CheckoutView, isDocument, ProblemDocument } from '@thermomesh/contracts';
import { MeshError, messageOf } from '@thermomesh/runtime';
import type { Order } from './orders.ts';

/** One HTTP call; a gateway that is frozen must not hold up its customers. */
const tryTimeoutMs = 4_000;
const pauseFirstMs = 20;
const pauseMaxMs = 500;
/** A gateway may ask for long pauses; in a run that measures how soon it is back they are cut. */
const retryAfterMsMax = 1_000;
/** What may be asked again: it passes by itself. */
const passing = new Set([408, 409, 425, 429, 500, 502, 503, 504]);

export interface CheckoutClient {
  /**
   * Sends the order's POST until there is a 202.
   * @throws MeshError `payments.refused` for an answer that no repetition changes, `payments.given_up` if the signal says so
   */
  checkout(order: Order, signal: AbortSignal): Promise<CheckoutAccepted>;
  /** Where it stands; undefined if there is no answer now. @throws MeshError `payments.refused` */
  look(checkoutId: string): Promise<CheckoutView | undefined>;
  /** HTTP calls of both kinds so far that carried a POST. */
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
        if (signal.aborted) throw new MeshError('payments.given_up', 'no 202 in time');
        attempts += 1;
        const answer = await call(`${url}/v1/checkouts`, { method: 'POST', headers, body });
        if (answer.status === 202 && isDocument(CheckoutAccepted, answer.body)) return answer.body;
        if (!answer.passes) throw refused(answer);
        const boundMs = Math.min(pauseMaxMs, pauseFirstMs * 2 ** Math.min(tries, 10));
        const pauseMs = Math.max(Math.random() * boundMs, answer.retryAfterMs);
        await delay(pauseMs, undefined, { signal }).catch(() => undefined);
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
  /** 0: none. */
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
    // Refused, broken or silent: what was sent may have arrived all the same.
    return { status: 0, body: messageOf(error), passes: true, retryAfterMs: 0 };
  }
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    // Cut off, or from somebody else: it is judged by its status.
    return text;
  }
}

function refused({ status, body }: HttpAnswer): MeshError {
  const problem = isDocument(ProblemDocument, body) ? `${body.code ?? body.title}: ${body.detail ?? ''}` : '';
  return new MeshError('payments.refused', `HTTP ${status} ${problem}`.trim());
}
