/** What an arm is in the document, and how rounds become one. */
import type { BenchDocument } from '@thermomesh/contracts';
import { perMessage, type CpuTimes } from '../core/cpu.ts';
import { rangeOf, type Range } from '../core/statistics.ts';
import type { CpuUse } from '../parts/cpu.ts';

/** `durable`: what an acknowledgement promises has reached the disk. Each kind of arm has fields of its own besides. */
export type Arm = BenchDocument['arms'][number] & Record<string, unknown>;
export type Target = BenchDocument['targets'][number];

/** What one section adds to the document. */
export interface Findings {
  arms: Arm[];
  targets: Target[];
}

/** CPU µs a message, by process: the medians of the rounds. */
export function cpuOf(rounds: readonly { cpu: CpuUse; messages: number }[]): CpuTimes {
  const each = rounds.map(({ cpu, messages }) => perMessage(cpu.times, messages));
  const names = Object.keys(each[0] ?? {});
  return Object.fromEntries(
    names.map((name) => [name, round(rangeOf(each.map((times) => times[name] ?? 0)).median, 2)]),
  );
}

/** CPUs that others on this machine used meanwhile; null where the system does not say. */
export function othersOf(rounds: readonly { cpu: CpuUse }[]): number | null {
  const values = rounds.flatMap(({ cpu }) => (cpu.othersCores === null ? [] : [cpu.othersCores]));
  return values.length === 0 ? null : round(rangeOf(values).median, 2);
}

export function rounded(range: Range, digits = 0): Range {
  const { n, min, median, max } = range;
  return { n, min: round(min, digits), median: round(median, digits), max: round(max, digits) };
}

export function round(value: number, digits = 0): number {
  return Math.round(value * 10 ** digits) / 10 ** digits;
}

/** The value must reach the target. */
export function atLeast(name: string, value: number, target: number): Target {
  return { name, value: round(value, 3), target, ok: value >= target };
}

/** The value must stay below the target. */
export function below(name: string, value: number, target: number): Target {
  return { name, value: round(value, 3), target, ok: value < target };
}

/** The value may reach the target and not exceed it. */
export function atMost(name: string, value: number, target: number): Target {
  return { name, value: round(value, 3), target, ok: value <= target };
}
