/**
 * The operations of billing: order under a key and get the final answer within a bounded time, and
 * finish operations in doubt.
 */
import { codeOf, isRetriable, raceTimeout, type Log } from '@thermomesh/runtime';
import type { AnswerWatch } from './answers.ts';
import { billingError } from './core/errors.ts';
import type { OperationKey, Order } from './core/operation.ts';
import type { NewOperation } from './core/ports.ts';
import { deriveProcessorKey } from './core/secrets.ts';
import { OperationRun, type RunDeps, type RunResult } from './operation-run.ts';

/** The result of an order. `running`: there is no answer within the wait; the work continues. */
export type AskResult = Exclude<RunResult, { type: 'waiting' }> | { type: 'running' };

/** Carries out orders and finishes operations in doubt. */
export interface Payments {
  /**
   * Carries out an order once per key and returns its answer.
   * @throws MeshError `payments.busy`: PostgreSQL did not answer in time, so it is not known whose
   *   key this is
   */
  ask(key: OperationKey, order: Order): Promise<AskResult>;
  /**
   * Works on operations in doubt, at most `rowsMax`. Resolves with their number when all of them
   * have been worked on.
   */
  sweep(rowsMax: number): Promise<number>;
  /** Waits for the work under way. */
  settle(): Promise<void>;
}

export interface PaymentsOptions extends RunDeps {
  watch: AnswerWatch;
  answerWaitMs: number;
}

/** Creates the payments of a replica. */
export function createPayments(options: PaymentsOptions): Payments {
  const { store, watch, answerWaitMs, log, metrics } = options;
  /** Work continues after the call that began it has ended. */
  const underWay = new Set<Promise<unknown>>();

  function track<T>(work: Promise<T>): Promise<T> {
    const watched = work
      .catch((error: unknown) => countFailure(log, metrics.workFailed, error))
      .finally(() => underWay.delete(watched));
    underWay.add(watched);
    return work;
  }

  return {
    async ask(key, order) {
      const deadlineMs = Date.now() + answerWaitMs;
      const claimed = Promise.withResolvers<void>();
      const work = track(OperationRun.ask(options, newOperation(options, key, order), claimed.resolve));
      // 422 comes before 409: no caller may be asked to wait before it is known whose key this is.
      await raceTimeout(Promise.race([claimed.promise, work]), answerWaitMs, tooLate);
      const result = await within(work, Math.max(1, deadlineMs - Date.now()));
      if (result === undefined) return { type: 'running' };
      if (result.type !== 'waiting') return result;
      const operation = await watch.wait(key, { timeoutMs: Math.max(1, deadlineMs - Date.now()) });
      if (operation === undefined || operation.answerBody === null) return { type: 'running' };
      // A call with other parameters is refused before it waits, so the answer is the caller's.
      return { type: 'answered', body: operation.answerBody, replayed: true };
    },
    async sweep(rowsMax) {
      const operations = await store.inDoubt(rowsMax);
      metrics.inDoubt.set(operations.length);
      await Promise.allSettled(operations.map((operation) => track(OperationRun.sweep(options, operation))));
      return operations.length;
    },
    async settle() {
      await Promise.all(underWay);
    },
  };
}

function newOperation({ secrets }: PaymentsOptions, key: OperationKey, order: Order): NewOperation {
  return {
    ...key,
    amountMinor: order.amountMinor,
    fingerprint: secrets.fingerprint(order),
    processorKey: deriveProcessorKey(key, order.kind),
    details:
      order.kind === 'charge'
        ? {
            kind: order.kind,
            payer: order.payer,
            currency: order.currency,
            tokenBox: secrets.seal(key, order.paymentToken),
          }
        : { kind: order.kind, paymentId: order.paymentId },
  };
}

function tooLate(): Error {
  return billingError('payments.busy', 'PostgreSQL has not answered in time: ask again with the same key');
}

/** Resolves with the result of `work`, or with undefined after `timeoutMs`; the work continues. */
async function within<T>(work: Promise<T>, timeoutMs: number): Promise<T | undefined> {
  const late = new Error('the work is still running');
  return raceTimeout(work, timeoutMs, () => late).catch((error: unknown) => {
    if (error === late) return undefined;
    throw error;
  });
}

/** The operation stays in doubt until its lease expires; then the sweeper takes it over. */
function countFailure(log: Log, failures: RunDeps['metrics']['workFailed'], error: unknown): void {
  failures.inc({ code: codeOf(error) ?? 'unknown' });
  if (isRetriable(error)) log.warn({ event: 'payment.work_failed', err: error });
  else log.error({ event: 'payment.work_failed', err: error });
}
