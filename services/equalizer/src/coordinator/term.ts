/**
 * One term of a coordinator: the host of `step` of libs/mapreduce. Events one after the other; the effects of each in order, each
 * finished before the next, and before the next event.
 */
import type { Log } from '@thermomesh/runtime';
import { codeOf } from '@thermomesh/runtime';
import {
  step,
  type CoordinatorEffect,
  type CoordinatorEvent,
  type CoordinatorState,
} from '@thermomesh/mapreduce';
import { DeposedError } from '../adapters/fenced-writes.ts';
import type { Timers } from './timers.ts';

/** What effects become. Each settles when it is done; `DeposedError` if the fence refuses. */
export interface EffectHandlers {
  store(effect: Of<'store'>): Promise<void>;
  /** Settles when the brokers have the task. */
  produce(effect: Of<'produce'>): Promise<void>;
  /** Begins decoding, reducing or stitching; its answer is an event. */
  begin(effect: Of<'decode' | 'reduce' | 'stitch'>): void;
  abandon(jobId: string): void;
  forget(jobId: string): Promise<void>;
  refuse(effect: Of<'refuse'>): void;
}
type Of<K extends CoordinatorEffect['type']> = Extract<CoordinatorEffect, { type: K }>;

export type TermEnd = 'deposed' | 'stopped' | 'failed';

export interface TermOptions {
  initial: CoordinatorState;
  handlers: EffectHandlers;
  timers: Timers;
  log: Log;
  /** Aborted when the lease is over, or the process stops. */
  signal: AbortSignal;
  /** After each event: what is known now. */
  onState: (state: CoordinatorState) => void;
}

export class Term {
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

  /** Settles when nothing is done any more. Never rejects. */
  get ended(): Promise<TermEnd> {
    return this.#end.promise;
  }

  /** Settles when what follows from the event is done, or the term is over. Never rejects. */
  feed(event: CoordinatorEvent): Promise<void> {
    this.#tail = this.#tail.then(async () => this.#take(event));
    return this.#tail;
  }

  /** Ends it because of an error that came from elsewhere. */
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
    // Tasks know nothing of each other: a run of them is under way at once, and waited for before anything else is done.
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
      // Between tasks that are issued anew, the timers of what they replace: nothing that has to wait.
      if (effect.type !== 'disarm') await produced();
      if (this.#over) break;
      await this.#do(effect);
    }
    await produced();
  }

  /** A straggler's time begins when the brokers have the task. */
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
      // Nothing that waiting mends: whoever is elected next begins with what is durable.
      log.error({ event: 'coordinator.failed', code: codeOf(error), err: error });
      return this.#finish('failed');
    }
    // The fence does not say who is the successor: only that there may be one.
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
