import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { step } from '../bully.ts';
import type { ElectionEvent, PeerMessage } from '../types.ts';
import { agreementAfterTrouble, oneEpochPerCutAndPerHeal } from './properties.ts';

describe('a simulated group of nodes', () => {
  it('the current epoch never has two coordinators, and a calm group agrees', () => {
    fc.assert(agreementAfterTrouble(), { numRuns: 500 });
  });

  it('one node drains through a cut; cut and heal cost at most one epoch each', () => {
    fc.assert(oneEpochPerCutAndPerHeal(), { numRuns: 300 });
  });
});

/**
 * Each mutant disables one guard by lying to the algorithm. If no property notices, the properties
 * prove nothing.
 */
const mutants: Record<string, typeof step> = {
  'takes the title although the fence says held': (state, event) =>
    step(state, event.type === 'claimHeld' ? { type: 'claimWon', epoch: event.epoch + 1 } : event),
  'takes every epoch for its own': (state, event) => {
    if (event.type === 'deposed') return step(state, { ...event, epoch: state.epoch });
    return step(
      state,
      event.type === 'message' ? { ...event, message: atEpoch(event.message, state.epoch) } : event,
    );
  },
  'obeys COORDINATOR of an old epoch': (state, event) => {
    const old =
      event.type === 'message' && event.message.type === 'coordinator' && event.message.epoch < state.epoch;
    return step(old ? { ...state, epoch: 0 } : state, event);
  },
  'never hands over': (state, event) => (isMessage(event, 'handover') ? [state, []] : step(state, event)),
  'never hears gossip': (state, event) => (isMessage(event, 'status') ? [state, []] : step(state, event)),
  'announces before it has claimed': (state, event) => {
    const [after, effects] = step(state, event);
    const early = effects.some((effect) => effect.type === 'claim');
    return early ? step(after, { type: 'claimWon', epoch: after.epoch + 1 }) : [after, effects];
  },
  'claims although unfit': (state, event) =>
    step(state, event.type === 'fitnessChanged' || event.type === 'start' ? { ...event, fit: true } : event),
  'yields at the first sign of unfitness': (state, event) => {
    const [after, effects] = step(state, event);
    if (after.timers.yield === undefined) return [after, effects];
    const [later, more] = step(after, { type: 'timer', timer: 'yield' });
    return [later, [...effects, ...more]];
  },
};

describe('the properties go red when a node', () => {
  for (const [name, mutant] of Object.entries(mutants)) {
    it(name, () => {
      const settings = { numRuns: 300, seed: 6, endOnFailure: true };
      const caught =
        fc.check(agreementAfterTrouble(mutant), settings).failed ||
        fc.check(oneEpochPerCutAndPerHeal(mutant), settings).failed;
      assert.ok(caught, `no property noticed a node that ${name}`);
    });
  }
});

function atEpoch(message: PeerMessage, epoch: number): PeerMessage {
  return 'epoch' in message ? { ...message, epoch } : message;
}

function isMessage(event: ElectionEvent, type: PeerMessage['type']): boolean {
  return event.type === 'message' && event.message.type === type;
}
