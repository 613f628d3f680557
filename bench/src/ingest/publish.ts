/** Durable publish against stock Aedes in memory: acknowledgements a second, without a drain. */
import { setTimeout as delay } from 'node:timers/promises';
import { interleave, rangeOf, ratioRange } from '../core/statistics.ts';
import { startChild, startGateway, type World } from '../parts/world.ts';
import { startGenerator, windowOf, type Generator, type Shape, type Traffic } from '../parts/generator.ts';
import { watchCpu, type CpuUse } from '../parts/cpu.ts';
import { atLeast, cpuOf, othersOf, rounded, type Arm, type Findings } from '../parts/arms.ts';
import type { IngestPlan } from './plan.ts';

interface Round {
  traffic: Traffic;
  cpu: CpuUse;
  messages: number;
}

interface Contender {
  name: 'gateway' | 'stock';
  generator: Generator;
  pid: number;
  /** Prepares the next round. */
  prepare(): Promise<void>;
}

/** Minimum of: rate of durable publishes ÷ rate of stock Aedes. */
const ratioTarget = 0.9;

export async function measurePublish(world: World, plan: IngestPlan): Promise<Findings> {
  const contenders = await Promise.all([startOurs(world, plan), startStock(world, plan)]);
  for (const contender of contenders) await warmUp(contender, plan);
  const findings: Findings = { arms: [], targets: [] };
  const arms = plan.shapes.flatMap((shape) =>
    contenders.map((contender) => ({ shape, contender, rounds: [] as Round[] })),
  );
  for (const { arm, round } of interleave(arms, plan.publish.rounds)) {
    arm.rounds.push(await measureRound(arm.contender, arm.shape, plan));
    world.say(
      `publish ${arm.shape.name}, round ${round + 1}, ${arm.contender.name}: ${acksOf(arm.rounds.at(-1)!)} acks/s`,
    );
  }
  for (const shape of plan.shapes) {
    const [ours, stock] = (['gateway', 'stock'] as const).map(
      (name) => arms.find((arm) => arm.shape === shape && arm.contender.name === name)!.rounds,
    ) as [Round[], Round[]];
    const ratio = ratioRange(ours.map(acksOf), stock.map(acksOf));
    findings.arms.push(
      {
        ...armOf(`durable publish, ${shape.name}`, true, ours),
        what: 'gateway, fdatasync before PUBACK, login checked, no drain',
        ratio: rounded(ratio, 2),
      },
      {
        ...armOf(`stock Aedes in memory, ${shape.name}`, false, stock),
        what: 'PUBACK before storing, no login, the same session disconnected and queueing',
      },
    );
    findings.targets.push(
      atLeast(`durable publish ÷ stock Aedes in memory, ${shape.name}`, ratio.median, ratioTarget),
    );
  }
  for (const { generator } of contenders) await generator.callee.stop();
  return findings;
}

async function startOurs(world: World, plan: IngestPlan): Promise<Contender> {
  const gateway = await startGateway(world, 'gateway-publish');
  const options = { name: 'publish', port: gateway.mqttPort, devices: devicesOf(plan), login: true };
  return {
    name: 'gateway',
    pid: gateway.pid,
    generator: await startGenerator(world, options),
    prepare: async () => undefined,
  };
}

async function startStock(world: World, plan: IngestPlan): Promise<Contender> {
  const broker = await startChild(world, 'stock', 'stock-broker');
  const options = {
    name: 'stock',
    port: await broker.call<number>('port'),
    devices: devicesOf(plan),
    login: false,
  };
  const generator = await startGenerator(world, options);
  // The queue is in memory: an old one would burden the garbage collector in the next round.
  const prepare = async () => {
    await generator.disconnect();
    await broker.call('renew');
    await generator.connect();
  };
  return { name: 'stock', pid: broker.pid, generator, prepare };
}

/** The number of devices that the largest shape needs. */
export function devicesOf({ shapes }: IngestPlan): number {
  return Math.max(...shapes.map(({ devices }) => devices));
}

async function warmUp(contender: Contender, { shapes, warmUpMs }: IngestPlan): Promise<void> {
  const { generator } = contender;
  await contender.prepare();
  for (const shape of shapes) {
    await generator.sendClosed(shape);
    await delay(warmUpMs / shapes.length);
    await generator.pause();
  }
}

async function measureRound(contender: Contender, shape: Shape, plan: IngestPlan): Promise<Round> {
  const { generator, pid, name } = contender;
  await contender.prepare();
  await generator.sendClosed(shape);
  await delay(plan.settleMs);
  const used = watchCpu({
    [name === 'stock' ? 'stock' : 'gateway']: () => [pid],
    generator: () => [generator.callee.pid],
  });
  const traffic = await windowOf(generator, plan.publish.windowMs);
  const cpu = used();
  await generator.pause();
  return { traffic, cpu, messages: traffic.acked };
}

function acksOf({ traffic }: Round): number {
  return Math.round(traffic.ackedPerSecond);
}

function armOf(name: string, durable: boolean, rounds: readonly Round[]): Arm {
  return {
    name,
    durable,
    shape: 'closed: each device has one burst in flight',
    acksPerSecond: rounded(rangeOf(rounds.map(acksOf))),
    ackP99Ms: rounded(rangeOf(rounds.map(({ traffic }) => traffic.ackMs.p99 ?? 0)), 1),
    cpuUsPerMessage: cpuOf(rounds),
    generatorLimited: rounds.some(({ traffic }) => traffic.generatorLimited),
    othersCores: othersOf(rounds),
  };
}
