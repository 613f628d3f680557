/**
 * Calls billing as if it were local: a call returns an answer, or an error that says what the
 * caller can do.
 */
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
import { createRetryBackoff, mayRetry, type RetryLimits, type Semantics } from './policy.ts';

export interface BillingClientOptions extends Partial<RetryLimits> {
  /**
   * Base URLs of the replicas, which the tries use in turn. A function is called at each try,
   * because replicas come and go.
   */
  urls: readonly string[] | (() => readonly string[]);
  /** The caller's bearer token: `deriveToken(secret, subjects.service(name))`. */
  token: string;
  /** Time limit of a call, all tries and pauses included. Default 30 s. */
  deadlineMs?: number;
  /** Time limit of one try. Default 8 s. */
  tryTimeoutMs?: number;
  /** Failed tries in a row after which the breaker of a replica opens. Default 5. */
  breakerFailuresMax?: number;
  /** How long a breaker stays open. Default 1 s. */
  breakerOpenMs?: number;
  /**
   * Tests and demonstrations only: makes a new UUID for each try, like a caller without transaction
   * UUIDs. At-least-once then charges twice.
   */
  unsafeKeyPerTry?: () => string;
}

export interface CallOptions {
  /** Default `at-least-once`. */
  semantics?: Semantics;
  /** Overrides the deadline of the client. */
  deadlineMs?: number;
}

/**
 * The caller makes the transaction UUID and stores it before the first call. After a crash it calls
 * again with the same UUID.
 */
export interface BillingClient {
  /** Makes a payment. @throws BillingRefusedError · BillingNoAnswerError */
  pay(transactionId: string, request: PaymentRequest, options?: CallOptions): Promise<PaymentDocument>;
  /** Refunds a payment or a part of it. @throws BillingRefusedError · BillingNoAnswerError */
  refund(
    transactionId: string,
    refund: { paymentId: string; amountMinor: number },
    options?: CallOptions,
  ): Promise<RefundDocument>;
  /**
   * Reads the state of a payment; reading is safe to repeat.
   * @throws BillingRefusedError (404 for an unknown one) · BillingNoAnswerError
   */
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

/** Makes a client. @throws RangeError if `urls` is an empty list */
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

/** Makes the function that runs a call with its tries, pauses and breakers. */
function createRunner(options: typeof defaults & BillingClientOptions) {
  const { urls } = options;
  if (typeof urls !== 'function' && urls.length === 0) throw new RangeError('a billing client needs a URL');
  const replicasNow = createReplicas(typeof urls === 'function' ? urls : () => urls, options);
  let turn = 0;

  /** Makes one try at the next replica whose breaker is not open. */
  async function oneTry<S extends DocumentSchema>(
    call: Call,
    schema: S,
    signal: AbortSignal,
  ): Promise<DocumentOf<S>> {
    // The deadline of the caller is not a failure of a replica and does not count for its breaker.
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
        backoff: createRetryBackoff(options, () => endMs - performance.now()),
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

/** Returns a function for the current replicas; a replica that stays keeps its breaker. */
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

/** The replica is healthy when it answers that a payment is still running, or refuses it. */
function createBreaker(options: { breakerFailuresMax: number; breakerOpenMs: number }): CircuitBreakerPolicy {
  return circuitBreaker(
    handleWhen((error) => error instanceof BillingNoAnswerError && error.reason !== 'running'),
    { breaker: new ConsecutiveBreaker(options.breakerFailuresMax), halfOpenAfter: options.breakerOpenMs },
  );
}
