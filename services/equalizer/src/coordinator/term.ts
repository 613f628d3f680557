/**
 * The host of `step` (libs/mapreduce) for one term of a coordinator. It handles one event after the
 * other. The effects of an event are carried out in their order: each is finished before the next
 * one, and all of them before the next event.
 */
import type { Log } from '@thermomesh/runtime';
import { codeOf } from '@thermomesh/runtime';
import {
  step,
  type CoordinatorEffect,
  type CoordinatorEvent,
  type CoordinatorState,
} from '@thermomesh/mapreduce';
import { DeposedError } from '../core/errors.ts';
import type { Timers } from './timers.ts';

/** Carries out effects. Each handler rejects with `DeposedError` if the fence refuses its write. */
export interface EffectHandlers {
  store(effect: Of<'store'>): Promise<void>;
  /** Resolves when the brokers have stored the task. */
  produce(effect: Of<'produce'>): Promise<void>;
  /** Starts to decode, reduce or stitch; the result arrives as an event. */
  begin(effect: Of<'decode' | 'reduce' | 'stitch'>): void;
  abandon(jobId: string): void;
  forget(jobId: string): Promise<void>;
  refuse(effect: Of<'refuse'>): void;
}
type Of<K extends CoordinatorEffect['type']> = Extract<CoordinatorEffect, { type: K }>;

/** How a term ended. */
export type TermEnd = 'deposed' | 'stopped' | 'failed';

export interface TermOptions {
  initial: CoordinatorState;
  handlers: EffectHandlers;
  timers: Timers;
  log: Log;
  /** Aborts when the lease is over, or the process stops. */
  signal: AbortSignal;
  /** Receives the state after each event. */
  onState: (state: CoordinatorState) => void;
}

/** One term. */
export class CoordinatorTerm {
  readonly #options: TermOptions;
  readonly #end = Promise.withResolvers<TermEnd>();
  #state: CoordinatorState;
  #over = false;
  #tail: Promise<void> = Promise.resolve();

  constructor(options: TermOptions) {
    this.#options = options;
    this.#state = options.initial;
    const { signal } = options;
    if (signal.aborted) this.#finish('stopped');
    signal.addEventListener('abort', () => this.#finish('stopped'), { once: true });
  }

  get state(): CoordinatorState {
    return this.#state;
  }

  /** Resolves when the term is over. Never rejects. */
  get ended(): Promise<TermEnd> {
    return this.#end.promise;
  }

  /** Resolves when the effects of the event are done, or the term is over. Never rejects. */
  feed(event: CoordinatorEvent): Promise<void> {
    this.#tail = this.#tail.then(async () => this.#take(event));
    return this.#tail;
  }

  /** Ends the term because of an error outside of its effects. */
  end(error: unknown): void {
    this.#fail(error);
  }

  async #take(event: CoordinatorEvent): Promise<void> {
    if (this.#over) return;
    const [state, effects] = step(this.#state, event);
    this.#state = state;
    try {
      await this.#carryOut(effects);
    } catch (error) {
      this.#fail(error);
    }
    if (!this.#over) this.#options.onState(this.#state);
  }

  async #carryOut(effects: readonly CoordinatorEffect[]): Promise<void> {
    // Tasks are independent: consecutive ones are sent concurrently, and all of them are awaited
    // before the next effect.
    let producing: Promise<unknown>[] = [];
    const produced = async (): Promise<void> => {
      const run = producing;
      producing = [];
      await Promise.all(run);
    };
    for (const [index, effect] of effects.entries()) {
      if (this.#over) break;
      if (effect.type === 'produce') {
        producing.push(this.#produce(effect, effects[index + 1]));
        continue;
      }
      if (effect.type === 'arm' && effects[index - 1]?.type === 'produce') continue;
      // Between reissued tasks, the timers of the tasks that they replace are stopped. That need
      // not wait.
      if (effect.type !== 'disarm') await produced();
      if (this.#over) break;
      await this.#do(effect);
    }
    await produced();
  }

  /** The timeout of a straggler starts when the brokers have stored its task. */
  async #produce(effect: Of<'produce'>, next: CoordinatorEffect | undefined): Promise<void> {
    await this.#options.handlers.produce(effect);
    if (!this.#over && next?.type === 'arm') this.#arm(next);
  }

  async #do(effect: Exclude<CoordinatorEffect, Of<'produce'>>): Promise<void> {
    const { handlers, timers } = this.#options;
    switch (effect.type) {
      case 'store':
        return handlers.store(effect);
      case 'decode':
      case 'reduce':
      case 'stitch':
        return handlers.begin(effect);
      case 'arm':
        return this.#arm(effect);
      case 'disarm':
        return timers.disarm(effect.timer);
      case 'abandon':
        return handlers.abandon(effect.jobId);
      case 'forget':
        return handlers.forget(effect.jobId);
      case 'refuse':
        return handlers.refuse(effect);
      case 'stepDown':
        return this.#finish('deposed');
    }
  }

  #arm({ timer, afterMs }: Of<'arm'>): void {
    this.#options.timers.arm(timer, afterMs, () => void this.feed({ type: 'timeout', timer }));
  }

  #fail(error: unknown): void {
    if (this.#over) return;
    const { log } = this.#options;
    if (!(error instanceof DeposedError)) {
      // A retry would not help. The next coordinator starts from what is durable.
      log.error({ event: 'coordinator.failed', epoch: this.#state.epoch, code: codeOf(error), err: error });
      return this.#finish('failed');
    }
    // The fence does not tell the successor's epoch, only that there may be one.
    [this.#state] = step(this.#state, { type: 'deposed', epoch: this.#state.epoch + 1 });
    this.#finish('deposed');
  }

  #finish(end: TermEnd): void {
    if (this.#over) return;
    this.#over = true;
    this.#options.timers.clear();
    this.#end.resolve(end);
  }
}
