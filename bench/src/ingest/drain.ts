/**
 * Measures how fast a backlog goes into PostgreSQL, and whether a reading of a long backlog costs
 * more than one of a short backlog.
 */
import { until } from '@thermomesh/testing';
import { rangeOf } from '../core/statistics.ts';
import { watchCpu, type CpuUse } from '../parts/cpu.ts';
import { atLeast, cpuOf, othersOf, rounded, type Arm, type Findings, type Target } from '../parts/arms.ts';
import { committedBetween, emptied, patience, rest, type Chain } from './chain.ts';
import type { IngestPlan } from './plan.ts';

const rateTarget = 80_000;
/**
 * Maximum of: cost of a reading in the longest backlog ÷ cost in the second shortest. The shortest
 * one is a single batch, so its readings are dearer.
 */
const growthTarget = 1.25;

interface Round {
  readingsPerSecond: number;
  cpu: CpuUse;
  messages: number;
}

export async function measureDrain(chain: Chain, plan: IngestPlan): Promise<Findings> {
  const { sizes, live } = plan.drain;
  const arms: Arm[] = [];
  const costs: number[] = [];
  let fastest = 0;
  for (const { readings, rounds: count } of sizes) {
    const rounds: Round[] = [];
    for (let index = 0; index < count; index++) rounds.push(await measureBacklog(chain, readings, plan));
    const arm = armOf(`drain of ${readings}`, rounds);
    arms.push(arm);
    costs.push(cpuOf(rounds)['total'] ?? 0);
    fastest = rangeOf(rounds.map(rateOf)).median;
    chain.world.say(
      `drain of ${readings}: ${Math.round(fastest)}/s, ${costs.at(-1)} CPU µs a reading (${count} rounds)`,
    );
  }
  const largest = sizes.at(-1)!.readings;
  const targets: Target[] = [atLeast(`drain of ${largest}: readings/s`, fastest, rateTarget)];
  const [from, to] = [costs.at(1) ?? 0, costs.at(-1) ?? 0];
  if (from > 0) {
    const growth = to / from;
    const name = `drain, CPU µs a reading: ${largest} ÷ ${sizes[1]?.readings}`;
    targets.push({
      name,
      value: rounded(rangeOf([growth]), 3).median,
      target: growthTarget,
      ok: growth <= growthTarget,
    });
  }
  const rounds: Round[] = [];
  for (let index = 0; index < live.rounds; index++) rounds.push(await measureLive(chain, plan));
  const name = `drain of ${live.readings} while the fleet publishes ${live.rate}/s b1`;
  arms.push(armOf(name, rounds));
  const liveRate = rangeOf(rounds.map(rateOf)).median;
  chain.world.say(`${name}: ${Math.round(liveRate)}/s`);
  targets.push(atLeast(`${name}: readings/s`, liveRate, rateTarget));
  return { arms, targets };
}

/**
 * Makes a backlog of `readings` while the coordinator is frozen (SIGSTOP), so that its code is
 * still compiled when it continues.
 */
async function makeBacklog(
  { node, gateway, generator }: Chain,
  readings: number,
  plan: IngestPlan,
): Promise<void> {
  node.signal('SIGSTOP');
  const [, b20] = plan.shapes;
  await generator.sendClosed(b20, readings);
  await generator.settled();
  await until('the whole backlog', async () => (await gateway.broker()).counters.buffered >= readings, {
    ...patience,
    timeoutMs: 10_000,
  });
}

async function measureBacklog(chain: Chain, readings: number, plan: IngestPlan): Promise<Round> {
  const { generator: _idle, ...watched } = chain.watched;
  await makeBacklog(chain, readings, plan);
  const used = watchCpu(watched);
  const fromMs = Date.now();
  chain.node.signal('SIGCONT');
  await emptied(chain.gateway);
  const cpu = used();
  const seconds = ((await lastCommit(chain)) - fromMs) / 1000;
  return { readingsPerSecond: readings / seconds, cpu, messages: readings };
}

async function measureLive(chain: Chain, plan: IngestPlan): Promise<Round> {
  const { readings, rate } = plan.drain.live;
  const [b1] = plan.shapes;
  await makeBacklog(chain, readings, plan);
  await chain.generator.sendPaced(b1, rate);
  const used = watchCpu(chain.watched);
  const fromMs = Date.now();
  chain.node.signal('SIGCONT');
  await until(
    'the backlog to be drained',
    async () => (await chain.gateway.broker()).counters.buffered < rate / 10,
    { ...patience, timeoutMs: 120_000 },
  );
  const toMs = Date.now();
  const cpu = used();
  await rest(chain);
  const rows = await committedBetween(chain.world, fromMs, toMs);
  return { readingsPerSecond: (rows * 1000) / (toMs - fromMs), cpu, messages: rows };
}

async function lastCommit({ world }: Chain): Promise<number> {
  const [row] = await world.pool.query<{ atMs: number }>(
    'SELECT (extract(epoch FROM max(committed_at)) * 1000)::float8 AS "atMs" FROM drain_batches',
  );
  return row?.atMs ?? 0;
}

function rateOf({ readingsPerSecond }: Round): number {
  return readingsPerSecond;
}

function armOf(name: string, rounds: readonly Round[]): Arm {
  return {
    name,
    durable: true,
    readingsPerSecond: rounded(rangeOf(rounds.map(rateOf))),
    cpuUsPerMessage: cpuOf(rounds),
    othersCores: othersOf(rounds),
  };
}
