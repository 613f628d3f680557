/** A call of billing that looks local: an answer, or an error that says what may be done about it. */
import {
  isDocument,
  PaymentDocument,
  PaymentView,
  RefundDocument,
  type DocumentOf,
  type DocumentSchema,
  type PaymentRequest,
} from '@thermomesh/contracts';
import {
  BrokenCircuitError,
  circuitBreaker,
  ConsecutiveBreaker,
  handleWhen,
  retry,
  type CircuitBreakerPolicy,
} from 'cockatiel';
import { BillingNoAnswerError } from './errors.ts';
import { send, type Call } from './http.ts';
import { createBackoff, mayRetry, type RetryLimits, type Semantics } from './policy.ts';

export interface BillingClientOptions extends Partial<RetryLimits> {
  /** Base URLs of the replicas; tries go round them. A function is asked at each try: replicas come and go. */
  urls: readonly string[] | (() => readonly string[]);
  /** The caller's bearer token: `deriveToken(secret, subjects.service(name))`. */
  token: string;
  /** All tries and pauses together. */
  deadlineMs?: number;
  /** One try. */
  tryTimeoutMs?: number;
  /** A replica that has given no answer so often in a row is left alone… */
  breakerFailuresMax?: number;
  /** …for so long. */
  breakerOpenMs?: number;
  /**
   * Tests and demonstrations only: a new UUID for each try, as a caller without transaction UUIDs would send. At-least-once then
   * charges twice.
   */
  unsafeKeyPerTry?: () => string;
}

export interface CallOptions {
  /** `at-least-once` if left out. */
  semantics?: Semantics;
  /** Instead of the client's. */
  deadlineMs?: number;
}

/** The caller makes the transaction UUID and stores it before the first call: after a crash it asks again with the same one. */
export interface BillingClient {
  /** @throws BillingRefusedError · BillingNoAnswerError */
  pay(transactionId: string, request: PaymentRequest, options?: CallOptions): Promise<PaymentDocument>;
  /** @throws BillingRefusedError · BillingNoAnswerError */
  refund(
    transactionId: string,
    refund: { paymentId: string; amountMinor: number },
    options?: CallOptions,
  ): Promise<RefundDocument>;
  /** Where a payment stands; reading is safe to repeat. @throws BillingRefusedError (404 for an unknown one) · BillingNoAnswerError */
  payment(transactionId: string, options?: Pick<CallOptions, 'deadlineMs'>): Promise<PaymentView>;
}

const defaults = {
  deadlineMs: 30_000,
  tryTimeoutMs: 8_000,
  backoffFirstMs: 100,
  backoffMaxMs: 2_000,
  breakerFailuresMax: 5,
  breakerOpenMs: 1_000,
};

export function createBillingClient(given: BillingClientOptions): BillingClient {
  const options = { ...defaults, ...given };
  const run = createRunner(options);
  const keyOf = (transactionId: string) => options.unsafeKeyPerTry?.() ?? transactionId;
  return {
    pay: (transactionId, request, callOptions = {}) =>
      run(
        () => ({ method: 'POST', route: '/v1/payments', key: keyOf(transactionId), body: request }),
        PaymentDocument,
        callOptions,
      ),
    refund: (transactionId, { paymentId, amountMinor }, callOptions = {}) =>
      run(
        () => ({
          method: 'POST',
          route: `/v1/payments/${encodeURIComponent(paymentId)}/refunds`,
          key: keyOf(transactionId),
          body: { amountMinor },
        }),
        RefundDocument,
        callOptions,
      ),
    payment: (transactionId, callOptions = {}) =>
      run(
        () => ({ method: 'GET', route: `/v1/payments/${encodeURIComponent(transactionId)}` }),
        PaymentView,
        callOptions,
      ),
  };
}

/** One call with its tries, pauses and breakers. */
function createRunner(options: typeof defaults & BillingClientOptions) {
  const { urls } = options;
  if (typeof urls !== 'function' && urls.length === 0) throw new RangeError('a billing client needs a URL');
  const replicasNow = createReplicas(typeof urls === 'function' ? urls : () => urls, options);
  let turn = 0;

  /** One try at the next replica whose breaker lets it through. */
  async function oneTry<S extends DocumentSchema>(
    call: Call,
    schema: S,
    signal: AbortSignal,
  ): Promise<DocumentOf<S>> {
    // The end of the caller's patience is no fault of a replica: its breaker does not hear of it.
    if (signal.aborted) throw new BillingNoAnswerError('timeout', { sent: true, cause: signal.reason });
    const replicas = replicasNow();
    if (replicas.length === 0) throw new BillingNoAnswerError('unreachable', { sent: false });
    let open: unknown;
    for (let tried = 0; tried < replicas.length; tried++) {
      const replica = replicas[turn++ % replicas.length];
      if (replica === undefined) break;
      try {
        const value = await replica.breaker.execute(() =>
          send(replica.url, options.token, call, options.tryTimeoutMs, signal),
        );
        if (isDocument(schema, value)) return value;
        throw new BillingNoAnswerError('failed', { sent: true, retriable: false });
      } catch (error) {
        if (!(error instanceof BrokenCircuitError)) throw error;
        open = error;
      }
    }
    throw new BillingNoAnswerError('breaker_open', { sent: false, cause: open });
  }

  async function run<S extends DocumentSchema>(
    makeCall: () => Call,
    schema: S,
    { semantics = 'at-least-once', deadlineMs = options.deadlineMs }: CallOptions,
  ): Promise<DocumentOf<S>> {
    const endMs = performance.now() + deadlineMs;
    const policy = retry(
      handleWhen((error) => mayRetry(semantics, error)),
      {
        maxAttempts: Number.MAX_SAFE_INTEGER,
        backoff: createBackoff(options, () => endMs - performance.now()),
      },
    );
    return policy.execute(
      async ({ signal }) => oneTry(makeCall(), schema, signal),
      AbortSignal.timeout(deadlineMs),
    );
  }
  return run;
}

interface Replica {
  url: string;
  breaker: CircuitBreakerPolicy;
}

/** The replicas that there are now; one that stays keeps its breaker. */
function createReplicas(
  urls: () => readonly string[],
  options: { breakerFailuresMax: number; breakerOpenMs: number },
): () => readonly Replica[] {
  let known: readonly string[] | undefined;
  let replicas: readonly Replica[] = [];
  return () => {
    const now = urls();
    if (now !== known) {
      const before = new Map(replicas.map((replica) => [replica.url, replica]));
      replicas = now.map((url) => before.get(url) ?? { url, breaker: createBreaker(options) });
      known = now;
    }
    return replicas;
  };
}

/** "Still running" is an answer of a healthy replica; what was refused is one too. */
function createBreaker(options: { breakerFailuresMax: number; breakerOpenMs: number }): CircuitBreakerPolicy {
  return circuitBreaker(
    handleWhen((error) => error instanceof BillingNoAnswerError && error.reason !== 'running'),
    { breaker: new ConsecutiveBreaker(options.breakerFailuresMax), halfOpenAfter: options.breakerOpenMs },
  );
}
