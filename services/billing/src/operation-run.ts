/**
 * Runs the state machine of a payment (libs/idempotency) against the store and the processor:
 * carries out each effect and feeds its result back as an event.
 */
import {
  initialState,
  step,
  type PaymentEffect,
  type PaymentEvent,
  type PaymentState,
} from '@thermomesh/idempotency';
import { sleep, type CrashHook, type Log } from '@thermomesh/runtime';
import { answerBody, type ProcessorAnswer } from './core/answer.ts';
import { recordOf, type Operation, type OperationKey } from './core/operation.ts';
import type { NewOperation, NotRefundable, OperationStore, ProcessorClient } from './core/ports.ts';
import type { Secrets } from './core/secrets.ts';
import type { BillingMetrics } from './metrics.ts';

/** What a run needs of the replica. */
export interface RunDeps {
  store: OperationStore;
  processor: ProcessorClient;
  secrets: Secrets;
  metrics: BillingMetrics;
  log: Log;
  crash: CrashHook;
  limits: { sendsPerAttemptMax: number; pauseMs: number; doubtPauseMs: number };
}

/** How a run ended. `waiting`: another run holds the operation, or the sweeper will finish it. */
export type RunResult =
  | { type: 'answered'; body: string; replayed: boolean }
  | { type: 'waiting' }
  | { type: 'refused' }
  | { type: 'retired' }
  | { type: 'not_refundable'; why: NotRefundable };

/** One run for one operation. */
export class OperationRun {
  readonly #deps: RunDeps;
  readonly #key: OperationKey;
  readonly #claimed: NewOperation | undefined;
  #state: PaymentState = initialState;
  #operation: Operation | undefined;
  #answer: ProcessorAnswer | undefined;
  #body: string | undefined;
  #result: RunResult = { type: 'waiting' };
  #onClaimed: () => void = () => undefined;

  /** Prefer `ask` and `sweep`, which start the run too. */
  constructor(deps: RunDeps, key: OperationKey, claimed: NewOperation | undefined) {
    this.#deps = deps;
    this.#key = key;
    this.#claimed = claimed;
  }

  /**
   * Runs for a caller's order.
   * @param onClaimed called when the store has answered whose key this is
   */
  static async ask(deps: RunDeps, operation: NewOperation, onClaimed: () => void): Promise<RunResult> {
    const run = new OperationRun(deps, operation, operation);
    run.#onClaimed = onClaimed;
    return run.#run({ type: 'asked' });
  }

  /** Runs for an operation that the sweeper found in doubt. */
  static async sweep(deps: RunDeps, operation: Operation): Promise<RunResult> {
    const run = new OperationRun(deps, operation, undefined);
    run.#operation = operation;
    return run.#run({ type: 'swept', record: recordOf(operation) });
  }

  async #run(first: PaymentEvent): Promise<RunResult> {
    const todo: PaymentEffect[] = [];
    for (let event: PaymentEvent | undefined = first; ;) {
      if (event !== undefined) {
        const [state, effects] = step(this.#state, event, this.#deps.limits);
        this.#state = state;
        todo.push(...effects);
      }
      const effect = todo.shift();
      if (effect === undefined) return this.#result;
      event = await this.#carryOut(effect);
    }
  }

  /** Carries out an effect. Returns the event that results from it; undefined if there is none. */
  async #carryOut(effect: PaymentEffect): Promise<PaymentEvent | undefined> {
    const { store, limits } = this.#deps;
    switch (effect.type) {
      case 'claim':
        return this.#claim();
      case 'takeOver':
        return this.#takeOver(effect.from);
      case 'chargeAgain':
        await sleep(limits.pauseMs);
        return this.#written(await store.recordCharging(this.#key, effect.attempt), 'recorded');
      case 'record':
        return this.#written(await store.recordCharging(this.#key, effect.attempt), 'recorded');
      case 'charge':
        return this.#charge();
      case 'commit':
        return this.#commit(effect.attempt);
      case 'release':
        await store.release(this.#key, effect.attempt, limits.doubtPauseMs);
        return undefined;
      case 'answer':
        this.#result = this.#answered(effect.replayed);
        return undefined;
      case 'wait':
        this.#result = { type: 'waiting' };
        return undefined;
      case 'refuse':
        this.#result = { type: 'refused' };
        return undefined;
    }
  }

  async #claim(): Promise<PaymentEvent | undefined> {
    const { store } = this.#deps;
    if (this.#claimed === undefined) throw new TypeError('only an asked operation is claimed');
    const claim = await store.claim(this.#claimed);
    this.#onClaimed();
    if (!('operation' in claim)) {
      this.#result = { type: 'not_refundable', why: claim.result };
      return undefined;
    }
    this.#operation = claim.operation;
    if (claim.result === 'claimed') return { type: 'claimWon' };
    if (this.#operation.retired) {
      this.#result = { type: 'retired' };
      return undefined;
    }
    this.#body = this.#operation.answerBody ?? undefined;
    return {
      type: 'found',
      record: recordOf(this.#operation),
      fingerprint: this.#claimed.fingerprint,
      leaseOver: this.#operation.leaseOver,
    };
  }

  async #takeOver(from: number): Promise<PaymentEvent> {
    const { store, metrics, log } = this.#deps;
    const attempt = await store.takeOver(this.#key, from);
    if (attempt === undefined) return { type: 'fenced' };
    metrics.takeOvers.inc();
    log.info({ event: 'payment.taken_over', ...this.#names(), attempt });
    return { type: 'tookOver', attempt };
  }

  async #charge(): Promise<PaymentEvent> {
    const { processor, secrets, metrics, log, crash } = this.#deps;
    const operation = this.#held();
    const token = operation.tokenBox === null ? undefined : secrets.open(this.#key, operation.tokenBox);
    crash('billing.before-charge');
    const reply = await processor.send(operation, token);
    crash('billing.after-charge');
    metrics.sends.inc({ result: reply.known ? reply.answer.outcome : 'unknown' });
    if (!reply.known) {
      log.warn({
        event: 'payment.outcome_unknown',
        ...this.#names(),
        attempt: this.#state.attempt,
        reason: reply.reason,
      });
      return { type: 'processorUnknown' };
    }
    this.#answer = reply.answer;
    return { type: 'processorAnswered', outcome: reply.answer.outcome };
  }

  async #commit(attempt: number): Promise<PaymentEvent> {
    const { store, crash } = this.#deps;
    if (this.#answer === undefined) throw new TypeError('nothing to commit');
    const body = answerBody(this.#held(), this.#answer, Date.now());
    const done = await store.finish(this.#key, attempt, this.#answer, body);
    if (done) {
      this.#body = body;
      crash('billing.after-commit');
    }
    return this.#written(done, 'committed');
  }

  #written(done: boolean, reply: 'recorded' | 'committed'): PaymentEvent {
    if (done) return { type: reply };
    const { metrics, log } = this.#deps;
    metrics.fenced.inc();
    log.warn({ event: 'payment.fenced', ...this.#names(), attempt: this.#state.attempt });
    return { type: 'fenced' };
  }

  #answered(replayed: boolean): RunResult {
    if (this.#body === undefined) throw new TypeError('an answered operation has no answer');
    return { type: 'answered', body: this.#body, replayed };
  }

  #held(): Operation {
    if (this.#operation === undefined) throw new TypeError('no operation is held');
    return this.#operation;
  }

  #names(): OperationKey {
    return { caller: this.#key.caller, transactionId: this.#key.transactionId };
  }
}
