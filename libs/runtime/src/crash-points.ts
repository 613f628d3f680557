/**
 * Crash points: named moments at which a test may kill or freeze the process, to show that every
 * moment is safe. They have no effect unless the process is started with
 * `CRASH_POINT=<name>[:nth][:kill|stop]`.
 */
import { appendFileSync } from 'node:fs';

/** Every crash point of the mesh; `e2e/` fails if one of them is never hit. */
export const crashPoints = [
  /** Gateway: the messages have numbers, and none of them is written. */
  'gateway.before-commit',
  /** Gateway: the group is durable, no PUBACK has left. */
  'gateway.after-commit',
  /** Gateway: PUBACKs are being sent, the drain session has not seen the messages. */
  'gateway.before-delivery',
  /** Gateway: the coordinator's PUBACKs have been read, the messages are not yet removed. */
  'gateway.before-removal',
  /** Analytics: a batch is complete, the database has not seen it. */
  'analytics.before-apply',
  /** Analytics: the statement has been sent and its result has not been read. */
  'analytics.during-apply',
  /** Analytics: the batch is committed, no PUBACK has been sent. */
  'analytics.after-commit',
  /** Analytics: the epoch is won, the drain session is not yet open. */
  'analytics.after-claim',
  /** Billing: the charge is recorded as pending, the processor has not been called. */
  'billing.before-charge',
  /** Billing: the processor has answered, the answer is not stored. */
  'billing.after-charge',
  /** Billing: outcome, ledger and answer are committed, no reply has been sent. */
  'billing.after-commit',
  /** Commands: the command is committed, no reply has been sent. */
  'command.after-accept',
  /** Commands: open commands are marked as sent, none of them has left. */
  'command.before-send',
  /** Checkout: the order is committed, no reply has been sent. */
  'checkout.after-accept',
  /** Checkout: the outbox row is claimed for hand-over, the queue does not have it yet. */
  'checkout.before-enqueue',
  /** Checkout: billing has given its final answer, the answer is not stored. */
  'checkout.after-billing',
  /** Equalizer, coordinator: the phase of the job is durable, no work on it has started. */
  'equalizer.after-store',
  /** Equalizer, coordinator: a task of a stored plan is about to be sent to the brokers. */
  'equalizer.before-produce',
  /** Equalizer, leader: a chunk is being counted or mapped, its task is not answered. */
  'equalizer.mid-chunk',
  /** Equalizer, leader: the brokers have the answer, the progress of the partition lacks it. */
  'equalizer.after-answer',
  /** Equalizer, coordinator: the image is written, the job is not stored as finished. */
  'equalizer.before-stitched',
] as const;
export type CrashPoint = (typeof crashPoints)[number];

/** Called at the named moment; does nothing in a process that is not under test. */
export type CrashHook = (point: CrashPoint) => void;

/** The crash that a test requests. */
export interface CrashPlan {
  point: CrashPoint;
  /** Which passing of the point triggers the crash, counted from 1. */
  nth: number;
  action: 'kill' | 'stop';
}

/**
 * Parses `name[:nth][:kill|stop]`; undefined for an empty text.
 * @throws RangeError for an unknown name or action
 */
export function parseCrashPlan(text: string | undefined): CrashPlan | undefined {
  if (text === undefined || text === '') return undefined;
  const [name, nth = '1', action = 'kill'] = text.split(':');
  const point = crashPoints.find((known) => known === name);
  if (point === undefined)
    throw new RangeError(`unknown crash point "${name}"; known: ${crashPoints.join(', ')}`);
  if (action !== 'kill' && action !== 'stop')
    throw new RangeError(`crash action must be kill or stop, not "${action}"`);
  if (!/^[1-9]\d{0,8}$/.test(nth))
    throw new RangeError(`the passing of a crash point is counted from 1, not "${nth}"`);
  return { point, nth: Number(nth), action };
}

/**
 * Makes the hook of this process.
 * @param witnessFile gets a line before the process ends, which proves that the point was hit
 */
export function createCrashHook(plan: CrashPlan | undefined, witnessFile: string | undefined): CrashHook {
  if (plan === undefined) return () => undefined;
  let passed = 0;
  return (point) => {
    if (point !== plan.point || ++passed !== plan.nth) return;
    if (witnessFile !== undefined) appendFileSync(witnessFile, `${point} ${process.pid} ${Date.now()}\n`);
    process.kill(process.pid, plan.action === 'kill' ? 'SIGKILL' : 'SIGSTOP');
  };
}
