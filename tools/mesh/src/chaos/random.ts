/** Random blows from a seed: the same seed, the same blows. Pure. */
import type { RunFile } from '../state/run-file.ts';
import type { BlowSignal, SignalBlow } from './blow.ts';
import type { TargetKind } from './target.ts';

/** Largest seed: 32 bits. */
export const seedMax = 0xffff_ffff;

type Target = Pick<SignalBlow, 'target' | 'node'>;

/** A share of the longest pause, so that pauses below and above the detection time both happen. */
const pauseShareMin = 0.1;

/** What of this mesh can be hurt by a signal; each once, so each is as likely. */
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

/** `times` blows. @param pauseMsMax the longest pause of a STOP */
export function randomBlows(
  seed: number,
  times: number,
  targets: Target[],
  signals: readonly BlowSignal[],
  pauseMsMax: number,
): SignalBlow[] {
  const next = mulberry32(seed);
  const pick = <T>(list: readonly T[]): T | undefined => list[Math.floor(next() * list.length)];
  return Array.from({ length: times }, () => ({
    kind: 'signal',
    target: 'coordinator',
    ...pick(targets),
    signal: pick(signals) ?? 'KILL',
    pauseMs: Math.round(pauseMsMax * (pauseShareMin + (1 - pauseShareMin) * next())),
  }));
}

/** Tommy Ettinger's mulberry32: numbers in [0, 1) from a 32-bit seed. */
function mulberry32(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}
