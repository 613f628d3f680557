/**
 * Named moments at which a test may end or freeze the process, to show that every moment is safe. Nothing happens unless the
 * process was started with `CRASH_POINT=<name>[:nth][:kill|stop]`.
 */
import { appendFileSync } from 'node:fs';

/** Every crash point of the mesh; `e2e/` fails if one of them is never hit. */
export const crashPoints = [
  /** Gateway: messages are numbered, nothing is written. */
  'gateway.before-commit',
  /** Gateway: the group is durable, no PUBACK has left. */
  'gateway.after-commit',
  /** Gateway: PUBACKs are under way, the drain session has not seen the messages. */
  'gateway.before-delivery',
  /** Gateway: the coordinator's PUBACKs are read, the messages not yet removed. */
  'gateway.before-removal',
  /** Analytics: a batch is complete, the database has not seen it. */
  'analytics.before-apply',
  /** Analytics: the statement is sent, its answer not read: between the fence and what follows COMMIT. */
  'analytics.during-apply',
  /** Analytics: the batch is committed, no PUBACK has left. */
  'analytics.after-commit',
  /** Analytics: the epoch is won, the drain session not yet opened. */
  'analytics.after-claim',
  /** Billing: the charge is recorded as under way, nothing has left for the processor. */
  'billing.before-charge',
  /** Billing: the processor has answered, nothing of it is written down. */
  'billing.after-charge',
  /** Billing: outcome, ledger and answer are committed, no reply has left. */
  'billing.after-commit',
  /** Checkout: the order is committed, no reply has left. */
  'checkout.after-accept',
  /** Checkout: the outbox row is claimed for hand-over, the queue has not heard of it. */
  'checkout.before-enqueue',
  /** Checkout: billing has given its final answer, nothing of it is stored. */
  'checkout.after-billing',
  /** Equalizer, coordinator: the job's phase is durable, nothing of it has been begun. */
  'equalizer.after-store',
  /** Equalizer, coordinator: a task of a stored plan is about to leave, the brokers have not seen it. */
  'equalizer.before-produce',
  /** Equalizer, leader: a chunk is being counted or mapped, its task is not answered. */
  'equalizer.mid-chunk',
  /** Equalizer, leader: the brokers have the answer, the partition's progress does not count it. */
  'equalizer.after-answer',
  /** Equalizer, coordinator: the image is written, the job is not stored as finished. */
  'equalizer.before-stitched',
] as const;
export type CrashPoint = (typeof crashPoints)[number];

/** Called at the named moment; a no-op in every process that is not under test. */
export type CrashHook = (point: CrashPoint) => void;

/** What the tests ask for. */
export interface CrashPlan {
  point: CrashPoint;
  /** On which passing it fires, from 1. */
  nth: number;
  action: 'kill' | 'stop';
}

/** Reads `name[:nth][:kill|stop]`; undefined for an empty text. @throws RangeError for an unknown name or action */
export function parseCrashPlan(text: string | undefined): CrashPlan | undefined {
  if (text === undefined || text === '') return undefined;
  const [name, nth = '1', action = 'kill'] = text.split(':');
  const point = crashPoints.find((known) => known === name);
  if (point === undefined)
    throw new RangeError(`unknown crash point "${name}"; known: ${crashPoints.join(', ')}`);
  if (action !== 'kill' && action !== 'stop')
    throw new RangeError(`crash action must be kill or stop, not "${action}"`);
  if (!/^[1-9]\d{0,8}$/.test(nth))
    throw new RangeError(`a crash point fires on a passing counted from 1, not "${nth}"`);
  return { point, nth: Number(nth), action };
}

/**
 * The hook of this process.
 * @param witnessFile gets a line when the point is hit, before the process ends: the test's proof
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
