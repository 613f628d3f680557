/**
 * The states of one command (I9), as the functions in migration 002 keep them. The test of the
 * store holds the SQL to this model.
 */
import type { CommandStatus } from '@thermomesh/contracts';

/** What a device says of a command. */
export type Outcome = 'done' | 'failed';

/** The part of a command that changes. */
export interface Lifecycle {
  status: CommandStatus;
  /** How often the command was given to a connection. */
  deliveries: number;
  outcome: Outcome | null;
}

/** `passed`: the deadline has passed; `near`: it passes within the margin of a delivery. */
export type DeadlineState = 'ahead' | 'near' | 'passed';

export type LifecycleEvent =
  | { type: 'deliver'; deadline: DeadlineState }
  | { type: 'acknowledge'; deadline: DeadlineState; outcome: Outcome }
  | { type: 'cancel'; deadline: DeadlineState }
  | { type: 'sweep'; deadline: DeadlineState };

/** What an event causes besides the new state. */
export type LifecycleEffect = 'send' | 'record' | 'cancelled' | 'none';

export const accepted: Lifecycle = { status: 'accepted', deliveries: 0, outcome: null };

/** True for a command that may still be delivered, acknowledged or cancelled. */
export function isOpen(status: CommandStatus): boolean {
  return status === 'accepted' || status === 'sent';
}

/** The state after an event, and what the event causes. */
export function step(state: Lifecycle, event: LifecycleEvent): [Lifecycle, LifecycleEffect] {
  switch (event.type) {
    case 'deliver':
      return isOpen(state.status) && event.deadline === 'ahead'
        ? [{ ...state, status: 'sent', deliveries: state.deliveries + 1 }, 'send']
        : [state, 'none'];
    case 'acknowledge':
      return acknowledge(state, event.deadline, event.outcome);
    case 'cancel':
      return isOpen(state.status) && event.deadline !== 'passed'
        ? [{ ...state, status: 'cancelled' }, 'cancelled']
        : [state, 'none'];
    case 'sweep':
      return isOpen(state.status) && event.deadline === 'passed'
        ? [{ ...state, status: 'expired' }, 'none']
        : [state, 'none'];
  }
}

/** The first answer of a device is kept; it makes only an open command done or failed. */
function acknowledge(
  state: Lifecycle,
  deadline: DeadlineState,
  outcome: Outcome,
): [Lifecycle, LifecycleEffect] {
  if (state.deliveries === 0 || state.outcome !== null) return [state, 'none'];
  if (!isOpen(state.status)) return [{ ...state, outcome }, 'record'];
  return [{ ...state, outcome, status: deadline === 'passed' ? 'expired' : outcome }, 'record'];
}
