/** Random faults from a seed; the same seed gives the same faults. Pure. */
import type { RunFile } from '../../mesh/files/run-file.ts';
import { seeded } from '../../seeded.ts';
import type { FaultSignal, SignalFault } from '../faults/fault.ts';
import type { TargetKind } from '../faults/target.ts';

/** Largest seed: 32 bits. */
export const seedMax = 0xffff_ffff;

type Target = Pick<SignalFault, 'target' | 'node'>;

/**
 * Lower bound of a pause as a share of the longest one, so that pauses fall on both sides of the
 * detection time.
 */
const pauseShareMin = 0.1;

/**
 * The possible targets of a signal in this mesh; each is listed once, so all are equally likely.
 */
export function targetsOf(processes: RunFile['processes']): Target[] {
  const has = (wanted: string) => processes.some(({ role }) => role === wanted);
  const named: TargetKind[] = [
    'gateway',
    'postgres',
    'fleet',
    'redis',
    'billing',
    'card-processor',
    'zookeeper',
    'kafka',
  ];
  const ofImages: TargetKind[] = has('equalizer') ? ['equalizer-coordinator', 'equalizer-worker'] : [];
  const nodes = processes.filter(({ role }) => role === 'analytics');
  return [
    { target: 'coordinator' },
    ...[...named.filter(has), ...ofImages].map((target) => ({ target })),
    ...nodes.map((_, index): Target => ({ target: 'node', node: index + 1 })),
  ];
}

/**
 * Chooses `times` faults.
 * @param pauseMsMax the longest pause of a STOP
 */
export function randomFaults(
  seed: number,
  times: number,
  targets: Target[],
  signals: readonly FaultSignal[],
  pauseMsMax: number,
): SignalFault[] {
  const { next } = seeded(seed);
  const pick = <T>(list: readonly T[]): T | undefined => list[Math.floor(next() * list.length)];
  return Array.from({ length: times }, () => ({
    kind: 'signal',
    target: 'coordinator',
    ...pick(targets),
    signal: pick(signals) ?? 'KILL',
    pauseMs: Math.round(pauseMsMax * (pauseShareMin + (1 - pauseShareMin) * next())),
  }));
}
