import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { initialState, isOver, step } from './step.ts';
import { Processor, Store } from './testing/world.ts';
import type { Outcome, PaymentEffect, PaymentEvent, PaymentState } from './types.ts';

const limits = { sendsPerAttemptMax: 2 };

/** What happens next, by chance, to worker `who` of three. */
type Chance =
  { kind: 'ask' | 'sweep' | 'die' | 'act' | 'lose request' | 'lose reply'; who: number } | { kind: 'lease' };

const chances = fc.array(
  fc.oneof(
    { weight: 1, arbitrary: fc.constant<Chance>({ kind: 'lease' }) },
    {
      weight: 8,
      arbitrary: fc.record({
        kind: fc.constantFrom('ask', 'sweep', 'die', 'act', 'act', 'act', 'lose request', 'lose reply'),
        who: fc.nat(2),
      }),
    },
  ),
  { maxLength: 60 },
);

/**
 * Three workers that are interrupted anywhere: each effect is one indivisible step, and chance
 * decides which worker is next.
 */
class World {
  readonly store = new Store();
  readonly processor = new Processor();
  readonly answers: Outcome[] = [];
  readonly #workers: ({ state: PaymentState; todo: PaymentEffect[] } | undefined)[] = [];
  readonly #will: Outcome;

  constructor(will: Outcome) {
    this.#will = will;
  }

  happen(chance: Chance): void {
    if (chance.kind === 'lease') {
      this.store.leaseOver = true;
      return;
    }
    const { kind, who } = chance;
    if (kind === 'die') this.#workers[who] = undefined;
    else if (kind === 'ask') this.#start(who, { type: 'asked' });
    else if (kind === 'sweep') this.sweep(who);
    else this.act(who, kind);
  }

  sweep(who: number): void {
    const { record, leaseOver } = this.store;
    if (record !== undefined && record.phase !== 'answered' && leaseOver)
      this.#start(who, { type: 'swept', record });
  }

  #start(who: number, event: PaymentEvent): void {
    const [state, todo] = step(initialState, event, limits);
    this.#workers[who] = { state, todo };
  }

  /** Carries out the next effect of that worker; returns whether there was one. */
  act(who: number, fate: 'act' | 'lose request' | 'lose reply'): boolean {
    const worker = this.#workers[who];
    const effect = worker?.todo.shift();
    if (worker === undefined || effect === undefined) return false;
    const event = this.#carryOut(effect, fate);
    if (event === undefined) return true;
    const [state, effects] = step(worker.state, event, limits);
    if (isOver(worker.state)) assert.deepEqual([state, effects], [worker.state, []], 'a final state changed');
    worker.state = state;
    worker.todo.push(...effects);
    return true;
  }

  #carryOut(effect: PaymentEffect, fate: 'act' | 'lose request' | 'lose reply'): PaymentEvent | undefined {
    const { store } = this;
    switch (effect.type) {
      case 'claim':
        if (store.claim('f')) return { type: 'claimWon' };
        assert.ok(store.record);
        return { type: 'found', record: store.record, fingerprint: 'f', leaseOver: store.leaseOver };
      case 'takeOver': {
        const attempt = store.takeOver(effect.from);
        return attempt === undefined ? { type: 'fenced' } : { type: 'tookOver', attempt };
      }
      case 'record':
      case 'chargeAgain':
        return { type: store.charging(effect.attempt) ? 'recorded' : 'fenced' };
      case 'charge': {
        if (fate === 'lose request') return { type: 'processorUnknown' };
        const outcome = this.processor.charge(this.#will);
        return fate === 'lose reply' ? { type: 'processorUnknown' } : { type: 'processorAnswered', outcome };
      }
      case 'commit':
        return { type: store.finish(effect.attempt, effect.outcome) ? 'committed' : 'fenced' };
      case 'release':
        store.release(effect.attempt);
        return undefined;
      case 'answer':
        assert.equal(store.record?.outcome, effect.outcome, 'the answer differs from the store');
        this.answers.push(effect.outcome);
        return undefined;
      case 'wait':
      case 'refuse':
        return undefined;
    }
  }
}

describe('whatever happens to three workers', () => {
  it('interrupted anywhere, a payment has one charge, one posting and one answer', () => {
    fc.assert(
      fc.property(chances, fc.constantFrom<Outcome>('charged', 'declined'), (happenings, will) => {
        const world = new World(will);
        for (const chance of happenings) world.happen(chance);
        assert.ok(world.processor.charges <= 1);
        assert.ok(world.store.postings.length <= 1);
        assert.ok(world.answers.every((answer) => answer === will));
      }),
      { numRuns: 2_000 },
    );
  });

  it('once the faults end, one sweep finishes a payment that was in doubt', () => {
    fc.assert(
      fc.property(chances, (happenings) => {
        const world = new World('charged');
        world.happen({ kind: 'ask', who: 0 });
        world.act(0, 'act');
        for (const chance of happenings) world.happen(chance);
        world.store.leaseOver = true;
        world.sweep(0);
        while (world.act(0, 'act'));
        assert.equal(world.store.record?.outcome, 'charged');
        assert.equal(world.processor.charges, 1);
        assert.equal(world.store.postings.length, 1);
      }),
      { numRuns: 2_000 },
    );
  });
});

describe('a single step', () => {
  it('an unknown outcome is never answered and never committed', () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 9 }), (sends) => {
        const charging: PaymentState = { phase: 'charging', attempt: 1, sends, outcome: null };
        const [, effects] = step(charging, { type: 'processorUnknown' }, limits);
        assert.ok(effects.every(({ type }) => type === 'chargeAgain' || type === 'release'));
        assert.equal(effects.length, 1);
      }),
    );
  });

  it('other parameters are refused in every phase of the record', () => {
    for (const phase of ['claimed', 'charging', 'answered'] as const) {
      for (const leaseOver of [true, false]) {
        const record = {
          phase,
          attempt: 1,
          fingerprint: 'a',
          outcome: phase === 'answered' ? ('charged' as const) : null,
        };
        const [, effects] = step(
          initialState,
          { type: 'found', record, fingerprint: 'b', leaseOver },
          limits,
        );
        assert.deepEqual(effects, [{ type: 'refuse' }]);
      }
    }
  });
});
