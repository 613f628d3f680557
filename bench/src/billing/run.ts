/** The whole billing bench: both designs in the same run, in interleaved rounds, one document. */
import { setTimeout as delay } from 'node:timers/promises';
import { interleave, rangeOf, ratioRange } from '../core/statistics.ts';
import {
  atLeast,
  cpuOf,
  othersOf,
  round,
  rounded,
  type Arm,
  type Findings,
  type RunDocument,
} from '../parts/arms.ts';
import { watchCpu, type CpuUse } from '../parts/cpu.ts';
import { describeMachine } from '../parts/machine.ts';
import type { RunOptions } from '../parts/scope.ts';
import { createWorld } from '../parts/world.ts';
import type { CallersReading } from './children/callers.ts';
import { checkCharges } from './check.ts';
import { startContenders, startProcessor, type Contender } from './contenders.ts';
import type { BillingPlan } from './plan.ts';

export interface BillingDocument extends RunDocument {
  bench: 'billing';
  /**
   * Payments of all arms, warm-up included; each has exactly one charge in the processor's ledger.
   */
  accepted: number;
}

export interface BillingOptions extends RunOptions {
  plan: BillingPlan;
}

/** Above this share of a core the callers themselves may limit the rate. */
const busyMax = 0.95;
const ratioTarget = 5;
const what = {
  billing:
    'services/billing over HTTP: claim, charge and settlement in statements that concurrent payments share',
  'one-transaction': 'one transaction a request, held open from the claim through the charge to the answer',
} as const;

/**
 * Measures both designs.
 * @throws MeshError `bench.not_one_charge`, or if an arm fails
 */
export async function runBilling({
  name,
  plan,
  profileDir,
  scope,
  say,
  onFolder,
}: BillingOptions): Promise<BillingDocument> {
  const started = new Date();
  const world = await createWorld({ scope, profileDir, say });
  onFolder?.(world.folder);
  const machine = await describeMachine(world.folder, world.pool);
  const processor = await startProcessor(world);
  const contenders = await startContenders(world, processor, plan);
  await processor.delay(plan.processor[0]!.delayMs);
  for (const { callers } of contenders) {
    await callers.call('send', { replay: false });
    await delay(plan.warmUpMs);
    await callers.call('pause');
  }
  const found: Findings[] = [];
  for (const { delayMs, rounds } of plan.processor) {
    await processor.delay(delayMs);
    found.push(
      await measure(contenders, plan, { replay: false, delayMs, rounds, windowMs: plan.windowMs, say }),
    );
  }
  found.push(await measure(contenders, plan, { replay: true, delayMs: 0, ...plan.replay, say }));
  const accepted = await checkCharges(processor, contenders);
  return {
    name,
    bench: 'billing',
    quick: plan.quick,
    startedAt: started.toISOString(),
    seconds: Math.round((Date.now() - started.getTime()) / 1000),
    machine,
    accepted,
    arms: found.flatMap(({ arms }) => arms),
    targets: found.flatMap(({ targets }) => targets),
  };
}

interface Measurement {
  replay: boolean;
  /** How long the processor takes for a charge. */
  delayMs: number;
  rounds: number;
  windowMs: number;
  say: (line: string) => void;
}
interface Round {
  reading: CallersReading;
  cpu: CpuUse;
  messages: number;
}

async function measure(
  contenders: readonly Contender[],
  plan: BillingPlan,
  how: Measurement,
): Promise<Findings> {
  const arms = contenders.map((contender) => ({ contender, rounds: [] as Round[] }));
  for (const { arm, round: index } of interleave(arms, how.rounds)) {
    const result = await measureRound(arm.contender, plan, how);
    arm.rounds.push(result);
    how.say(`${labelOf(how)}, round ${index + 1}, ${arm.contender.name}: ${Math.round(rateOf(result))}/s`);
  }
  const findings: Findings = {
    arms: arms.map(({ contender, rounds }) => armOf(contender, plan, how, rounds)),
    targets: [],
  };
  const [ours, other] = arms.map(({ rounds }) => rounds.map(rateOf)) as [number[], number[]];
  const ratio = ratioRange(ours, other);
  Object.assign(findings.arms[0]!, { ratio: rounded(ratio, 2) });
  if (!how.replay && how.delayMs === plan.processor[0]!.delayMs)
    findings.targets.push(
      atLeast(`billing ÷ one transaction a request, processor ${how.delayMs} ms`, ratio.median, ratioTarget),
    );
  return findings;
}

async function measureRound(
  { callers, watched }: Contender,
  plan: BillingPlan,
  how: Measurement,
): Promise<Round> {
  await callers.call('send', { replay: how.replay });
  await delay(plan.settleMs);
  await callers.call('mark');
  const used = watchCpu(watched);
  await delay(how.windowMs);
  const reading = await callers.call<CallersReading>('read');
  const cpu = used();
  await callers.call('pause');
  return { reading, cpu, messages: reading.answered };
}

function rateOf({ reading }: Round): number {
  return reading.answered / reading.seconds;
}

function labelOf({ replay, delayMs }: Measurement): string {
  return replay ? 'replays' : `payments, processor ${delayMs} ms`;
}

function armOf({ name }: Contender, plan: BillingPlan, how: Measurement, rounds: readonly Round[]): Arm {
  const rates = rounded(rangeOf(rounds.map(rateOf)));
  const latency = (p: 'p50' | 'p99' | 'max') =>
    rounded(rangeOf(rounds.map(({ reading }) => reading.answerMs[p] ?? 0)), 1);
  return {
    name: `${name}, ${labelOf(how)}`,
    durable: true,
    what: what[name],
    concurrent: plan.concurrent,
    connections: plan.connections,
    ...(how.replay ? { replaysPerSecond: rates } : { processorMs: how.delayMs, paymentsPerSecond: rates }),
    answerP50Ms: latency('p50'),
    answerP99Ms: latency('p99'),
    answerMaxMs: latency('max'),
    cpuUsPerMessage: cpuOf(rounds),
    generatorBusy: round(rangeOf(rounds.map(({ reading }) => reading.busy)).max, 2),
    generatorLimited: rounds.some(({ reading }) => reading.busy > busyMax),
    othersCores: othersOf(rounds),
  };
}
