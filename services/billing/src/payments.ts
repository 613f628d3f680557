/** What the HTTP routes ask for: an order under a key, and its final answer within a bounded time. */
import { codeOf, MeshError, type Log } from '@thermomesh/runtime';
import type { AnswerWatch } from './answer-watch.ts';
import type { NewOperation } from './adapters/pg-operations.ts';
import type { OperationKey, Order } from './core/operation.ts';
import { deriveProcessorKey } from './core/secrets.ts';
import { Worker, type RunResult, type WorkerDeps } from './worker.ts';

/** `running`: no answer within the wait; the work goes on. */
export type AskResult = Exclude<RunResult, { type: 'waiting' }> | { type: 'running' };

export interface Payments {
  ask(key: OperationKey, order: Order): Promise<AskResult>;
  /** One look for operations in doubt; resolves when those that were found have been worked on. */
  sweep(rowsMax: number): Promise<number>;
  /** Waits for the work under way. */
  settle(): Promise<void>;
}

export interface PaymentsOptions extends WorkerDeps {
  watch: AnswerWatch;
  answerWaitMs: number;
}

export function createPayments(options: PaymentsOptions): Payments {
  const { store, watch, answerWaitMs, log, metrics } = options;
  /** Work outlives the call that began it. */
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
      const work = track(Worker.ask(options, newOperation(options, key, order), claimed.resolve));
      // Nobody is told to wait before it is known whose key it is: 422 comes before 409.
      const looked = await within(Promise.race([claimed.promise, work]).then(isTrue), answerWaitMs);
      if (looked === undefined) throw new MeshError('payments.busy', tooLate, { retriable: true });
      const result = await within(work, Math.max(1, deadlineMs - Date.now()));
      if (result === undefined) return { type: 'running' };
      if (result.type !== 'waiting') return result;
      const operation = await watch.wait(key, Math.max(1, deadlineMs - Date.now()));
      if (operation === undefined || operation.answerBody === null) return { type: 'running' };
      // Whoever waited has the same parameters: others are refused before they wait.
      return { type: 'answered', body: operation.answerBody, replayed: true };
    },
    async sweep(rowsMax) {
      const operations = await store.inDoubt(rowsMax);
      metrics.inDoubt.set(operations.length);
      await Promise.allSettled(operations.map((operation) => track(Worker.sweep(options, operation))));
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

const tooLate = 'PostgreSQL has not answered in time: ask again with the same key';
const isTrue = () => true;

/** The result, or undefined if it takes longer; the work itself goes on. */
async function within<T>(work: Promise<T>, timeoutMs: number): Promise<T | undefined> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<undefined>((resolve) => {
    timer = setTimeout(() => resolve(undefined), timeoutMs);
  });
  try {
    return await Promise.race([work, late]);
  } finally {
    clearTimeout(timer);
  }
}

/** The operation stays in doubt until its lease is over; then the sweeper takes it. */
function countFailure(log: Log, failures: WorkerDeps['metrics']['workFailed'], error: unknown): void {
  failures.inc({ code: codeOf(error) ?? 'unknown' });
  const expected = error instanceof MeshError && error.retriable;
  log[expected ? 'warn' : 'error']({ event: 'payment.work_failed', err: error });
}
