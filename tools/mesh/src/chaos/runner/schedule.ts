/** Reads a schedule of faults from a JSON file. */
import { readFileSync } from 'node:fs';
import { documentIssues } from '@thermomesh/contracts';
import { messageOf } from '@thermomesh/runtime';
import Type, { type Static } from 'typebox';
import { meshError } from '../../errors.ts';
import { parsePartition, parseSelectors } from '../faults/cut.ts';
import { faultSignals, pauseMsOf, type Fault } from '../faults/fault.ts';
import { targetKinds } from '../faults/target.ts';

// A pattern instead of a union, so that its issue lists all allowed values in one phrase.
const oneOf = <T extends string>(values: readonly T[]) =>
  Type.Unsafe<T>(Type.String({ pattern: `^(${values.join('|')})$` }));
const strict = { additionalProperties: false };
const common = {
  /** Time from the start of the series; later if the mesh has not recovered by then. */
  atMs: Type.Integer({ minimum: 0, maximum: 86_400_000 }),
  pauseMs: Type.Optional(Type.Integer({ minimum: 1, maximum: 600_000 })),
};
const SignalStep = Type.Object(
  {
    ...common,
    target: oneOf(targetKinds),
    node: Type.Optional(Type.Integer({ minimum: 1, maximum: 9 })),
    signal: Type.Optional(oneOf(faultSignals)),
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
  fault: Fault;
}

const stepsMax = 10_000;

/**
 * Reads a schedule.
 * @throws MeshError `usage` with the file and every invalid step
 */
export function readSchedule(file: string): Step[] {
  let text: string;
  try {
    text = readFileSync(file, 'utf8');
  } catch (error) {
    throw meshError('usage', `the schedule ${file} cannot be read: ${messageOf(error)}`);
  }
  try {
    return parseSchedule(text);
  } catch (error) {
    throw meshError('usage', `the schedule ${file} is invalid:\n  ${messageOf(error)}`);
  }
}

/**
 * Parses a schedule.
 * @throws MeshError `usage` with one line for each issue
 */
export function parseSchedule(text: string): Step[] {
  let list: unknown;
  try {
    list = JSON.parse(text);
  } catch (error) {
    throw meshError('usage', `it is not JSON: ${messageOf(error)}`);
  }
  if (!Array.isArray(list) || list.length === 0 || list.length > stepsMax)
    throw meshError('usage', `it must be a list of 1 to ${stepsMax} steps`);
  const issues: string[] = [];
  const steps: Step[] = [];
  for (const [index, item] of list.entries()) {
    try {
      steps.push(stepOf(item));
    } catch (error) {
      issues.push(`step ${index + 1}: ${messageOf(error)}`);
    }
  }
  const late = steps.findIndex(({ atMs }, index) => atMs < (steps[index - 1]?.atMs ?? 0));
  if (issues.length === 0 && late !== -1)
    issues.push(`step ${late + 1}: its atMs is less than that of step ${late}`);
  if (issues.length > 0) throw meshError('usage', issues.join('\n  '));
  return steps;
}

function stepOf(item: unknown): Step {
  const isSignal = typeof item === 'object' && item !== null && 'target' in item;
  const issues = documentIssues(isSignal ? SignalStep : CutStep, item);
  if (issues.length > 0) throw meshError('usage', issues.join('; '));
  if (isSignal) return signalStep(item as Static<typeof SignalStep>);
  return cutStep(item as Static<typeof CutStep>);
}

function signalStep({ atMs, target, node, signal = 'KILL', pauseMs }: Static<typeof SignalStep>): Step {
  if ((target === 'node') !== (node !== undefined))
    throw meshError('usage', '"node" needs the target node, and the target node needs "node"');
  return { atMs, fault: { kind: 'signal', target, node, signal, pauseMs: pauseMs ?? pauseMsOf.STOP } };
}

function cutStep(step: Static<typeof CutStep>): Step {
  const { atMs, partition, cut, slow } = step;
  if (partition === undefined && cut === undefined && slow === undefined)
    throw meshError('usage', 'it names neither a target nor links (partition, cut, slow)');
  return {
    atMs,
    fault: {
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
