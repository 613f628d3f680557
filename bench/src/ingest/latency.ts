/** Measures how long a device waits for its PUBACK at half of the highest rate. */
import { setTimeout as delay } from 'node:timers/promises';
import { interleave, rangeOf } from '../core/statistics.ts';
import { watchCpu } from '../parts/cpu.ts';
import { windowOf, type Shape } from '../parts/generator.ts';
import { below, cpuOf, othersOf, round, rounded, type Findings } from '../parts/arms.ts';
import { rest, type Chain } from './chain.ts';
import type { IngestPlan } from './plan.ts';

const p99TargetMs = 30;

/** @param highest committed readings a second, by shape */
export async function measureLatency(
  chain: Chain,
  highest: Record<Shape['name'], number>,
  plan: IngestPlan,
): Promise<Findings> {
  const findings: Findings = { arms: [], targets: [] };
  const arms = plan.shapes.map((shape) => ({
    shape,
    rounds: [] as Awaited<ReturnType<typeof measureRound>>[],
  }));
  for (const { arm, round: index } of interleave(arms, plan.latency.rounds)) {
    const result = await measureRound(chain, arm.shape, highest[arm.shape.name] / 2, plan);
    arm.rounds.push(result);
    chain.world.say(
      `latency ${arm.shape.name}, round ${index + 1}: PUBACK p99 ${result.traffic.ackMs.p99?.toFixed(1)} ms at ${Math.round(result.traffic.sentPerSecond)}/s`,
    );
  }
  for (const { shape, rounds } of arms) {
    const p99 = rangeOf(rounds.map(({ traffic }) => traffic.ackMs.p99 ?? 0));
    findings.arms.push({
      name: `PUBACK at half of the highest rate, ${shape.name}`,
      durable: true,
      shape: 'paced',
      ratePerSecond: round(highest[shape.name] / 2),
      ackP50Ms: rounded(rangeOf(rounds.map(({ traffic }) => traffic.ackMs.p50 ?? 0)), 1),
      ackP99Ms: rounded(p99, 1),
      ackMaxMs: rounded(rangeOf(rounds.map(({ traffic }) => traffic.ackMs.max ?? 0)), 1),
      cpuUsPerMessage: cpuOf(rounds),
      rateKept: rounds.every(({ traffic }) => traffic.rateKept),
      generatorLimited: rounds.some(({ traffic }) => traffic.generatorLimited),
      othersCores: othersOf(rounds),
    });
    findings.targets.push(
      below(`PUBACK p99 at half of the highest rate, ${shape.name}, ms`, p99.median, p99TargetMs),
    );
  }
  return findings;
}

async function measureRound(chain: Chain, shape: Shape, rate: number, plan: IngestPlan) {
  await chain.generator.sendPaced(shape, rate);
  await delay(plan.settleMs * 2);
  const used = watchCpu(chain.watched);
  const traffic = await windowOf(chain.generator, plan.latency.windowMs);
  const cpu = used();
  await rest(chain);
  return { traffic, cpu, messages: traffic.acked };
}
