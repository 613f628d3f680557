/** A schedule: which blow falls when, from a JSON file. */
import { readFileSync } from 'node:fs';
import { documentFaults } from '@thermomesh/contracts';
import { MeshError, messageOf } from '@thermomesh/runtime';
import Type, { type Static } from 'typebox';
import { blowSignals, pauseMsOf, type Blow } from './blow.ts';
import { parsePartition, parseSelectors } from './cut.ts';
import { targetKinds } from './target.ts';

// A pattern rather than a union: its fault names all that is allowed in one phrase.
const oneOf = <T extends string>(values: readonly T[]) =>
  Type.Unsafe<T>(Type.String({ pattern: `^(${values.join('|')})$` }));
const strict = { additionalProperties: false };
const common = {
  /** From the start of the series; later if the mesh is not whole again by then. */
  atMs: Type.Integer({ minimum: 0, maximum: 86_400_000 }),
  pauseMs: Type.Optional(Type.Integer({ minimum: 1, maximum: 600_000 })),
};
const SignalStep = Type.Object(
  {
    ...common,
    target: oneOf(targetKinds),
    node: Type.Optional(Type.Integer({ minimum: 1, maximum: 9 })),
    signal: Type.Optional(oneOf(blowSignals)),
  },
  strict,
);
const CutStep = Type.Object(
  {
    ...common,
    partition: Type.Optional(Type.String()),
    cut: Type.Optional(Type.String()),
    slow: Type.Optional(Type.String()),
    silent: Type.Optional(Type.Boolean()),
    oneWay: Type.Optional(Type.Union([Type.Literal('out'), Type.Literal('in')])),
    delayMs: Type.Optional(Type.Integer({ minimum: 0, maximum: 60_000 })),
    bandwidth: Type.Optional(Type.Integer({ minimum: 1, maximum: 1_000_000_000 })),
  },
  strict,
);

export interface Step {
  atMs: number;
  blow: Blow;
}

const stepsMax = 10_000;

/** @throws MeshError `usage` that names the file and every step that is wrong */
export function readSchedule(file: string): Step[] {
  let text: string;
  try {
    text = readFileSync(file, 'utf8');
  } catch (error) {
    throw new MeshError('usage', `the schedule ${file} cannot be read: ${messageOf(error)}`);
  }
  try {
    return parseSchedule(text);
  } catch (error) {
    throw new MeshError('usage', `the schedule ${file} is wrong:\n  ${messageOf(error)}`);
  }
}

/** @throws MeshError `usage` that lists every fault, one a line */
export function parseSchedule(text: string): Step[] {
  let list: unknown;
  try {
    list = JSON.parse(text);
  } catch (error) {
    throw new MeshError('usage', `it is no JSON: ${messageOf(error)}`);
  }
  if (!Array.isArray(list) || list.length === 0 || list.length > stepsMax)
    throw new MeshError('usage', `it must be a list of 1 to ${stepsMax} steps`);
  const faults: string[] = [];
  const steps: Step[] = [];
  for (const [index, item] of list.entries()) {
    try {
      steps.push(stepOf(item));
    } catch (error) {
      faults.push(`step ${index + 1}: ${messageOf(error)}`);
    }
  }
  const late = steps.findIndex(({ atMs }, index) => atMs < (steps[index - 1]?.atMs ?? 0));
  if (faults.length === 0 && late !== -1)
    faults.push(`step ${late + 1}: its atMs lies before that of step ${late}`);
  if (faults.length > 0) throw new MeshError('usage', faults.join('\n  '));
  return steps;
}

function stepOf(item: unknown): Step {
  const isSignal = typeof item === 'object' && item !== null && 'target' in item;
  const faults = documentFaults(isSignal ? SignalStep : CutStep, item);
  if (faults.length > 0) throw new MeshError('usage', faults.join('; '));
  if (isSignal) return signalStep(item as Static<typeof SignalStep>);
  return cutStep(item as Static<typeof CutStep>);
}

function signalStep({ atMs, target, node, signal = 'KILL', pauseMs }: Static<typeof SignalStep>): Step {
  if ((target === 'node') !== (node !== undefined))
    throw new MeshError('usage', '"node" goes with the target node, and with no other');
  return { atMs, blow: { kind: 'signal', target, node, signal, pauseMs: pauseMs ?? pauseMsOf.STOP } };
}

function cutStep(step: Static<typeof CutStep>): Step {
  const { atMs, partition, cut, slow } = step;
  if (partition === undefined && cut === undefined && slow === undefined)
    throw new MeshError('usage', 'it names neither a target nor links (partition, cut, slow)');
  return {
    atMs,
    blow: {
      kind: 'links',
      partition: partition === undefined ? [] : parsePartition(partition),
      cut: cut === undefined ? [] : parseSelectors(cut),
      slow: slow === undefined ? [] : parseSelectors(slow),
      silent: step.silent ?? false,
      oneWay: step.oneWay,
      delayMs: step.delayMs ?? 0,
      bytesPerSecond: step.bandwidth ?? null,
      pauseMs: step.pauseMs ?? pauseMsOf.links,
    },
  };
}
