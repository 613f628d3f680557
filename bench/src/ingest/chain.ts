/** The whole path of a reading: gateway, one node as coordinator, PostgreSQL, generator. */
import { performance } from 'node:perf_hooks';
import { setTimeout as delay } from 'node:timers/promises';
import { until } from '@thermomesh/testing';
import { benchError } from '../errors.ts';
import { createGovernor } from '../core/governor.ts';
import { startGenerator, type Generator, type Shape } from '../parts/generator.ts';
import {
  freePorts,
  postgresPids,
  startGateway,
  startNode,
  type Gateway,
  type Node,
  type World,
} from '../parts/world.ts';
import type { Watched } from '../parts/cpu.ts';
import { devicesOf } from './publish.ts';
import type { IngestPlan } from './plan.ts';

export interface Chain {
  readonly world: World;
  readonly gateway: Gateway;
  readonly node: Node;
  readonly generator: Generator;
  /** The processes of the chain, for CPU times. */
  readonly watched: Watched;
}

/** How long and how often the bench looks for a condition. */
export const patience = { timeoutMs: 60_000, pollMs: 10 };
const drainedTimeoutMs = 120_000;

/** Starts the chain, and resolves when the coordinator drains. */
export async function startChain(world: World, plan: IngestPlan): Promise<Chain> {
  const gateway = await startGateway(world, 'gateway');
  const node = await startNode(world, { ports: await freePorts(1), nodeId: 1, gateway });
  const generator = await startGenerator(world, {
    name: 'chain',
    port: gateway.mqttPort,
    devices: devicesOf(plan),
    login: true,
  });
  await until('the coordinator to drain', async () => (await gateway.broker()).drain.connected, patience);
  const watched = {
    gateway: () => [gateway.pid],
    node: () => [node.pid],
    ...postgresPids(world),
    generator: () => [generator.callee.pid],
  };
  return { world, gateway, node, generator, watched };
}

const governorIntervalMs = 100;
const backlogSeconds = 0.25;
const rateMin = 500;
const rateMax = 300_000;

/**
 * Paces the generator for `ms` at the highest rate that is drained (see core/governor.ts), and
 * leaves it sending.
 * @param startRate the first rate, readings per second
 * @returns the last rate
 */
export async function govern(
  { gateway, generator }: Chain,
  shape: Shape,
  startRate: number,
  ms: number,
): Promise<number> {
  const governor = createGovernor(startRate, { backlogSeconds, rateMin, rateMax });
  const endAt = performance.now() + ms;
  let rate = startRate;
  await generator.sendPaced(shape, rate);
  while (performance.now() < endAt) {
    await delay(Math.max(0, Math.min(governorIntervalMs, endAt - performance.now())));
    const { counters } = await gateway.broker();
    rate = governor.next(counters.accepted - counters.buffered, counters.buffered, performance.now());
    await generator.rate(rate);
  }
  return rate;
}

/** Stops the traffic, and resolves when the gateway's buffer is empty. */
export async function rest({ gateway, generator }: Chain): Promise<void> {
  await generator.pause();
  await emptied(gateway);
}

/** Resolves when the gateway's buffer is empty. */
export async function emptied(gateway: Gateway): Promise<void> {
  await until('the backlog to be drained', async () => (await gateway.broker()).counters.buffered === 0, {
    ...patience,
    timeoutMs: drainedTimeoutMs,
  });
}

/**
 * Counts the rows that were committed between two moments (Unix ms), by PostgreSQL's clock, which
 * is this machine's.
 */
export async function committedBetween({ pool }: World, fromMs: number, toMs: number): Promise<number> {
  const [row] = await pool.query<{ rows: number }>(
    `SELECT coalesce(sum(rows), 0)::bigint AS rows FROM drain_batches
     WHERE committed_at >= to_timestamp($1::double precision / 1000) AND committed_at < to_timestamp($2::double precision / 1000)`,
    [fromMs, toMs],
  );
  return row?.rows ?? 0;
}

/**
 * Checks that every acknowledged reading is stored, once: the figures of a path that loses readings
 * are worth nothing.
 * @throws MeshError `bench.unbalanced`
 */
export async function checkAccounts(chain: Chain): Promise<void> {
  await rest(chain);
  const { acked } = await chain.generator.read();
  const [row] = await chain.world.pool.query<{ stored: number }>(
    'SELECT count(*)::bigint AS stored FROM readings',
  );
  if (row?.stored !== acked)
    throw benchError('bench.unbalanced', `${acked} readings were acknowledged, ${row?.stored} are stored`);
}
