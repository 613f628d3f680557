/** End to end: readings that are acknowledged, on disk and committed, beside the naive design. */
import { setTimeout as delay } from 'node:timers/promises';
import { interleave, rangeOf, ratioRange } from '../core/statistics.ts';
import { watchCpu, type CpuUse, type Watched } from '../parts/cpu.ts';
import { startGenerator, windowOf, type Generator, type Shape, type Traffic } from '../parts/generator.ts';
import { postgresPids, startChild, type World } from '../parts/world.ts';
import { atLeast, cpuOf, othersOf, round, rounded, type Arm, type Findings } from '../parts/arms.ts';
import { committedBetween, govern, rest, type Chain } from './chain.ts';
import type { IngestPlan } from './plan.ts';

/** Committed readings a second. */
const targets = { b1: 40_000, b20: 60_000 };
const naiveRatioTarget = 30;
const backlogSecondsMax = 1;

interface Round {
  committedPerSecond: number;
  /** Backlog at the end of the window, in seconds of its load. */
  backlogSeconds: number;
  traffic: Traffic;
  cpu: CpuUse;
  messages: number;
}

export interface EndToEnd extends Findings {
  /** Committed readings a second by shape: the median of the rounds. */
  highest: Record<Shape['name'], number>;
}

export async function measureEndToEnd(chain: Chain, plan: IngestPlan): Promise<EndToEnd> {
  const { world } = chain;
  const naive = await startNaive(world, plan);
  const rates = new Map<string, number>(plan.shapes.map(({ name }) => [name, targets[name]]));
  for (const shape of plan.shapes) {
    rates.set(shape.name, await govern(chain, shape, targets[shape.name], plan.warmUpMs));
    await rest(chain);
  }
  const ours = plan.shapes.map((shape) => ({
    name: shape.name,
    rounds: [] as Round[],
    measure: async () => measureOurs(chain, shape, rates, plan),
  }));
  const naiveArm = {
    name: 'naive',
    rounds: [] as Round[],
    measure: async () => measureNaive(world, naive, plan),
  };
  for (const { arm, round: index } of interleave([...ours, naiveArm], plan.endToEnd.rounds)) {
    const result = await arm.measure();
    arm.rounds.push(result);
    world.say(
      `end to end ${arm.name}, round ${index + 1}: ${result.committedPerSecond} committed/s, backlog ${result.backlogSeconds} s`,
    );
  }
  await naive.stop();
  return report(ours, naiveArm.rounds);
}

function report(ours: { name: Shape['name']; rounds: Round[] }[], naive: Round[]): EndToEnd {
  const arms: Arm[] = [];
  const found: EndToEnd = { arms, targets: [], highest: { b1: 0, b20: 0 } };
  for (const { name, rounds } of ours) {
    const ratio = ratioRange(rounds.map(ratesOf), naive.map(ratesOf));
    const committed = rangeOf(rounds.map(ratesOf)).median;
    const backlog = rangeOf(rounds.map(({ backlogSeconds }) => backlogSeconds)).max;
    found.highest[name] = committed;
    arms.push({
      ...armOf(`end to end, ${name}`, true, rounds),
      what: 'gateway, coordinator, PostgreSQL; acked, on disk, committed',
      ratio: rounded(ratio, 1),
    });
    found.targets.push(
      atLeast(`end to end, ${name}: committed readings/s`, committed, targets[name]),
      {
        name: `end to end, ${name}: backlog at the end in seconds of load`,
        value: backlog,
        target: backlogSecondsMax,
        ok: backlog < backlogSecondsMax,
      },
      atLeast(`end to end, ${name} ÷ naive`, ratio.median, naiveRatioTarget),
    );
  }
  arms.push({
    ...armOf('naive, b1', false, naive),
    what: 'stock Aedes, mqtt.js handleMessage, one INSERT a reading; acked readings are in memory only',
  });
  return found;
}

async function measureOurs(
  chain: Chain,
  shape: Shape,
  rates: Map<string, number>,
  plan: IngestPlan,
): Promise<Round> {
  const { gateway, generator, world } = chain;
  const startRate = await govern(chain, shape, rates.get(shape.name)!, plan.settleMs);
  const used = watchCpu(chain.watched);
  const window = await generator.window();
  const fromMs = Date.now();
  rates.set(shape.name, await govern(chain, shape, startRate, plan.endToEnd.windowMs));
  const toMs = Date.now();
  const { counters } = await gateway.broker();
  const traffic = await window.end();
  const cpu = used();
  await rest(chain);
  return roundOf(await committedBetween(world, fromMs, toMs), toMs - fromMs, counters.buffered, traffic, cpu);
}

function roundOf(rows: number, ms: number, buffered: number, traffic: Traffic, cpu: CpuUse): Round {
  const perSecond = (rows * 1000) / ms;
  const backlogSeconds = round(buffered / Math.max(1, traffic.ackedPerSecond), 2);
  return { committedPerSecond: Math.round(perSecond), backlogSeconds, traffic, cpu, messages: rows };
}

interface Naive {
  generator: Generator;
  watched: Watched;
  stop(): Promise<void>;
}

async function startNaive(world: World, plan: IngestPlan): Promise<Naive> {
  const broker = await startChild(world, 'naive-broker', 'stock-broker');
  const writer = await startChild(world, 'naive-writer', 'naive-writer');
  const port = await broker.call<number>('port');
  await writer.call('start', { port, databaseUrl: world.postgres.url });
  const [b1] = plan.shapes;
  const generator = await startGenerator(world, { name: 'naive', port, devices: b1.devices, login: false });
  const watched = {
    stock: () => [broker.pid],
    node: () => [writer.pid],
    ...postgresPids(world),
    generator: () => [generator.callee.pid],
  };
  await generator.sendPaced(b1, plan.endToEnd.naiveRate / 4);
  await delay(plan.warmUpMs / 4);
  await generator.pause();
  const stop = async () => {
    for (const child of [generator.callee, writer, broker]) await child.stop();
  };
  return { generator, watched, stop };
}

/**
 * Offers the naive design more than it can do, so that its own pace shows. The queue that grows
 * meanwhile is drained before the next round.
 */
async function measureNaive(world: World, { generator, watched }: Naive, plan: IngestPlan): Promise<Round> {
  const [b1] = plan.shapes;
  await generator.sendPaced(b1, plan.endToEnd.naiveRate);
  await delay(plan.settleMs);
  const used = watchCpu(watched);
  const fromMs = Date.now();
  const traffic = await windowOf(generator, plan.endToEnd.windowMs);
  const toMs = Date.now();
  const cpu = used();
  const { acked } = await generator.pause();
  const count = async (condition: string, values: number[]) => {
    const [row] = await world.pool.query<{ rows: number }>(
      `SELECT count(*)::bigint AS rows FROM naive_readings ${condition}`,
      values,
    );
    return row?.rows ?? 0;
  };
  const before = 'WHERE committed_at < to_timestamp($1::double precision / 1000)';
  const [atStart, atEnd] = [await count(before, [fromMs]), await count(before, [toMs])];
  while ((await count('', [])) < acked) await delay(50);
  return roundOf(atEnd - atStart, toMs - fromMs, acked - atEnd, traffic, cpu);
}

function ratesOf({ committedPerSecond }: Round): number {
  return committedPerSecond;
}

function armOf(name: string, durable: boolean, rounds: readonly Round[]): Arm {
  return {
    name,
    durable,
    shape: 'paced at the highest rate that is drained',
    committedPerSecond: rounded(rangeOf(rounds.map(ratesOf))),
    offeredPerSecond: rounded(rangeOf(rounds.map(({ traffic }) => traffic.sentPerSecond))),
    backlogSeconds: rounded(rangeOf(rounds.map(({ backlogSeconds }) => backlogSeconds)), 2),
    ackP99Ms: rounded(rangeOf(rounds.map(({ traffic }) => traffic.ackMs.p99 ?? 0)), 1),
    cpuUsPerMessage: cpuOf(rounds),
    generatorBusy: rounded(rangeOf(rounds.map(({ traffic }) => traffic.generatorBusy)), 2),
    generatorLimited: rounds.some(({ traffic }) => traffic.generatorLimited),
    othersCores: othersOf(rounds),
  };
}
