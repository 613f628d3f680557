/**
 * Runs the trace scripts of `testdata/`: two replicas, A and B, one store and one processor.
 * README.md lists the sentences.
 */
import { carryOut, type Sentence } from '@thermomesh/testing';
import { initialState, step } from '../step.ts';
import type { Outcome, PaymentEffect, PaymentEvent, PaymentState } from '../types.ts';
import { Processor, Store } from './world.ts';

interface Worker {
  state: PaymentState;
  fingerprint: string;
  /**
   * Effects still to be carried out, in order. A worker runs until it has to wait for the
   * processor.
   */
  todo: PaymentEffect[];
  paused: boolean;
}

/**
 * One payment and its workers. `tell` carries out a sentence and returns a line for each thing that
 * happened.
 */
export class Story {
  readonly store = new Store();
  readonly processor = new Processor();
  readonly #workers = new Map<string, Worker>();
  readonly #limits = { sendsPerAttemptMax: 2 };
  #will: Outcome = 'charged';
  #lines: string[] = [];

  tell(sentence: string): string[] {
    this.#lines = [];
    carryOut(this.#sentences, sentence);
    return this.#lines;
  }

  readonly #sentences: Sentence<void>[] = [
    [/^the card is empty$/, () => void (this.#will = 'declined')],
    [/^([AB]) is asked for (.+)$/, (name, what) => this.#ask(name, what)],
    [/^([AB]) sweeps$/, (name) => this.#sweep(name)],
    [/^the processor answers ([AB])$/, (name) => this.#processorAnswers(name)],
    [/^the processor charges, its answer to ([AB]) is lost$/, (name) => this.#answerLost(name)],
    [/^([AB])'s request to the processor is lost$/, (name) => this.#feed(name, unknown)],
    [/^([AB]) dies$/, (name) => void this.#workers.delete(name)],
    [/^([AB]) is paused$/, (name) => void (this.#worker(name).paused = true)],
    [/^([AB]) wakes$/, (name) => this.#wake(name)],
    [/^the lease runs out$/, () => void (this.store.leaseOver = true)],
    [/^the books$/, () => this.#books()],
  ];

  #worker(name: string): Worker {
    const worker = this.#workers.get(name);
    if (worker === undefined) throw new Error(`${name} does nothing in this story`);
    return worker;
  }

  #ask(name: string, fingerprint: string): void {
    this.#workers.set(name, { state: initialState, fingerprint, todo: [], paused: false });
    this.#feed(name, { type: 'asked' });
  }

  #sweep(name: string): void {
    const { record, leaseOver } = this.store;
    if (record === undefined || record.phase === 'answered' || !leaseOver) {
      this.#lines.push(`${name} finds nothing in doubt`);
      return;
    }
    this.#workers.set(name, {
      state: initialState,
      fingerprint: record.fingerprint,
      todo: [],
      paused: false,
    });
    this.#feed(name, { type: 'swept', record });
  }

  #processorAnswers(name: string): void {
    this.#feed(name, { type: 'processorAnswered', outcome: this.processor.charge(this.#will) });
  }

  #answerLost(name: string): void {
    this.processor.charge(this.#will);
    this.#feed(name, unknown);
  }

  #wake(name: string): void {
    this.#worker(name).paused = false;
    this.#run(name);
  }

  #books(): void {
    this.#lines.push(
      `processor: asked ${this.processor.asked}, charged ${this.processor.charges}; posted: ${this.store.postings.join(' ') || 'nothing'}`,
    );
  }

  #feed(name: string, event: PaymentEvent): void {
    const worker = this.#worker(name);
    const [state, effects] = step(worker.state, event, this.#limits);
    worker.state = state;
    worker.todo.push(...effects);
    this.#run(name);
  }

  #run(name: string): void {
    const worker = this.#worker(name);
    while (!worker.paused) {
      const effect = worker.todo.shift();
      if (effect === undefined) return;
      const reply = this.#carryOut(name, worker, effect);
      if (reply === undefined) continue;
      const [state, effects] = step(worker.state, reply, this.#limits);
      worker.state = state;
      worker.todo.push(...effects);
    }
  }

  /**
   * Carries out the effect and returns the reply; undefined if the story decides the processor's
   * reply.
   */
  #carryOut(name: string, worker: Worker, effect: PaymentEffect): PaymentEvent | undefined {
    const { store } = this;
    const say = (text: string) => this.#lines.push(`${name} ${text}`);
    switch (effect.type) {
      case 'claim': {
        if (store.claim(worker.fingerprint)) {
          say('claims the key');
          return { type: 'claimWon' };
        }
        const { record, leaseOver } = store;
        if (record === undefined) throw new Error('a claim was lost, but the store holds no record');
        return { type: 'found', record, fingerprint: worker.fingerprint, leaseOver };
      }
      case 'takeOver': {
        const attempt = store.takeOver(effect.from);
        say(attempt === undefined ? 'comes too late to take over' : `takes over as attempt ${attempt}`);
        return attempt === undefined ? { type: 'fenced' } : { type: 'tookOver', attempt };
      }
      case 'record':
        return this.#written(name, store.charging(effect.attempt), 'recorded');
      case 'chargeAgain':
        return this.#written(name, store.charging(effect.attempt), 'recorded');
      case 'charge':
        say(`charges as attempt ${effect.attempt}`);
        return undefined;
      case 'commit': {
        const done = store.finish(effect.attempt, effect.outcome);
        if (done) say(`commits ${effect.outcome}`);
        return this.#written(name, done, 'committed');
      }
      case 'release':
        store.release(effect.attempt);
        say('leaves it to the sweeper');
        return undefined;
      case 'answer':
        say(`answers ${effect.outcome}${effect.replayed ? ', replayed' : ''}`);
        return undefined;
      case 'wait':
        say('waits for the holder');
        return undefined;
      case 'refuse':
        say('refuses: the key was used with other parameters');
        return undefined;
    }
  }

  #written(name: string, done: boolean, reply: 'recorded' | 'committed'): PaymentEvent {
    if (!done) this.#lines.push(`${name} is refused by the fence`);
    return { type: done ? reply : 'fenced' };
  }
}

const unknown: PaymentEvent = { type: 'processorUnknown' };
