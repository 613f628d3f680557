/** Arms, targets and documents, and how the rounds of an arm become one entry. */
import type { BenchDocument } from '@thermomesh/contracts';
import { perMessage, type CpuTimes } from '../core/cpu.ts';
import { rangeOf, type Range } from '../core/statistics.ts';
import type { CpuUse } from './cpu.ts';
import type { Machine } from './machine.ts';

/**
 * One entry of the document. `durable` means that an acknowledged message is on disk. Each kind of
 * arm has more fields.
 */
export type Arm = BenchDocument['arms'][number] & Record<string, unknown>;
export type Target = BenchDocument['targets'][number];

/** The document of a run; the runs add fields of their own. */
export interface RunDocument extends BenchDocument {
  arms: Arm[];
  name: string;
  quick: boolean;
  startedAt: string;
  seconds: number;
  machine: Machine;
}

/** What one section adds to the document. */
export interface Findings {
  arms: Arm[];
  targets: Target[];
}

/** CPU µs a message, by process: the median of the rounds. */
export function cpuOf(rounds: readonly { cpu: CpuUse; messages: number }[]): CpuTimes {
  const each = rounds.map(({ cpu, messages }) => perMessage(cpu.times, messages));
  const names = Object.keys(each[0] ?? {});
  return Object.fromEntries(
    names.map((name) => [name, round(rangeOf(each.map((times) => times[name] ?? 0)).median, 2)]),
  );
}

/**
 * CPUs that other work on this machine used meanwhile; null where the system does not report it.
 */
export function othersOf(rounds: readonly { cpu: CpuUse }[]): number | null {
  const values = rounds.flatMap(({ cpu }) => (cpu.othersCores === null ? [] : [cpu.othersCores]));
  return values.length === 0 ? null : round(rangeOf(values).median, 2);
}

/** The range with its values rounded to `digits` decimal places. */
export function rounded(range: Range, digits = 0): Range {
  const { n, min, median, max } = range;
  return { n, min: round(min, digits), median: round(median, digits), max: round(max, digits) };
}

export function round(value: number, digits = 0): number {
  return Math.round(value * 10 ** digits) / 10 ** digits;
}

/** A target that is met by a value of at least `target`. */
export function atLeast(name: string, value: number, target: number): Target {
  return { name, value: round(value, 3), target, ok: value >= target };
}

/** A target that is met by a value below `target`. */
export function below(name: string, value: number, target: number): Target {
  return { name, value: round(value, 3), target, ok: value < target };
}

/** A target that is met by a value of at most `target`. */
export function atMost(name: string, value: number, target: number): Target {
  return { name, value: round(value, 3), target, ok: value <= target };
}
