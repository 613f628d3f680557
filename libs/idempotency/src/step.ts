/**
 * The life of one payment as a function: claimed → charging → charged or declined → answered (I3).
 * It has no clock, no randomness and no sockets. The store's fence decides which worker may write;
 * a worker only proposes, and stops when the store refuses it.
 */
import type { IdempotencyLimits, PaymentEffect, PaymentEvent, PaymentRecord, PaymentState } from './types.ts';

type Step = [PaymentState, PaymentEffect[]];

/** The state of a worker that knows nothing of the payment yet. */
export const initialState: PaymentState = { phase: 'unclaimed', attempt: 0, sends: 0, outcome: null };

/**
 * Takes a state and an event; returns the next state and the effects to carry out, in order. Events
 * that do not fit the state change nothing, for example a processor's answer that arrives after the
 * fence refused this worker.
 */
export function step(state: PaymentState, event: PaymentEvent, limits: IdempotencyLimits): Step {
  switch (event.type) {
    case 'asked':
      return state.phase === 'unclaimed' ? [state, [{ type: 'claim' }]] : [state, []];
    case 'claimWon':
      return state.phase === 'unclaimed' ? hold(state, 1) : [state, []];
    case 'found':
      return found(state, event.record, event.fingerprint, event.leaseOver);
    case 'swept':
      return state.phase === 'unclaimed' && event.record.phase !== 'answered'
        ? takeOver(state, event.record)
        : [state, []];
    case 'tookOver':
      return state.phase === 'waiting' ? hold(state, event.attempt) : [state, []];
    case 'recorded':
      return recorded(state);
    case 'processorAnswered':
      if (state.phase !== 'charging') return [state, []];
      return [
        { ...state, phase: event.outcome, outcome: event.outcome },
        [{ type: 'commit', attempt: state.attempt, outcome: event.outcome }],
      ];
    case 'processorUnknown':
      return state.phase === 'charging' ? unknown(state, limits) : [state, []];
    case 'committed':
      if ((state.phase !== 'charged' && state.phase !== 'declined') || state.outcome === null)
        return [state, []];
      return [{ ...state, phase: 'answered' }, [{ type: 'answer', outcome: state.outcome, replayed: false }]];
    case 'fenced':
      return isOver(state) ? [state, []] : [{ ...state, phase: 'fenced' }, [{ type: 'wait' }]];
  }
}

/** True if this worker has nothing more to do for the payment. */
export function isOver(state: PaymentState): boolean {
  return state.phase === 'answered' || state.phase === 'fenced' || state.phase === 'released';
}

/** Refuses other parameters before anything else, even before it replays an answer. */
function found(state: PaymentState, record: PaymentRecord, fingerprint: string, leaseOver: boolean): Step {
  if (state.phase !== 'unclaimed' && state.phase !== 'waiting') return [state, []];
  if (record.fingerprint !== fingerprint) return [state, [{ type: 'refuse' }]];
  if (record.phase === 'answered' && record.outcome !== null) {
    const { attempt, outcome } = record;
    return [{ ...state, phase: 'answered', attempt, outcome }, [{ type: 'answer', outcome, replayed: true }]];
  }
  return leaseOver ? takeOver(state, record) : [{ ...state, phase: 'waiting' }, [{ type: 'wait' }]];
}

function takeOver(state: PaymentState, record: PaymentRecord): Step {
  return [{ ...state, phase: 'waiting' }, [{ type: 'takeOver', from: record.attempt }]];
}

function hold(state: PaymentState, attempt: number): Step {
  return [{ ...state, phase: 'claimed', attempt, sends: 0 }, [{ type: 'record', attempt }]];
}

/**
 * The charge may leave only now: a successor that finds this record knows that the processor may
 * have seen the charge.
 */
function recorded(state: PaymentState): Step {
  if (state.phase !== 'claimed' && state.phase !== 'charging') return [state, []];
  const { attempt } = state;
  return [{ ...state, phase: 'charging', sends: state.sends + 1 }, [{ type: 'charge', attempt }]];
}

/**
 * "Unknown" is never final: the charge may have been made, or may still be on its way. The only
 * safe request is the same charge again under the same key.
 */
function unknown(state: PaymentState, limits: IdempotencyLimits): Step {
  const { attempt } = state;
  if (state.sends < limits.sendsPerAttemptMax) return [state, [{ type: 'chargeAgain', attempt }]];
  return [{ ...state, phase: 'released' }, [{ type: 'release', attempt }]];
}
