/** Our whole path, running: gateway, one node as coordinator, PostgreSQL, generator. */
import { performance } from 'node:perf_hooks';
import { setTimeout as delay } from 'node:timers/promises';
import { MeshError } from '@thermomesh/runtime';
import { createGovernor } from '../core/governor.ts';
import { startGenerator, type Generator } from '../parts/generator.ts';
import { until } from '../parts/until.ts';
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
import type { IngestPlan, Shape } from './plan.ts';

export interface Chain {
  readonly world: World;
  readonly gateway: Gateway;
  readonly node: Node;
  readonly generator: Generator;
  /** Its processes, for CPU times. */
  readonly watched: Watched;
}

export async function startChain(world: World, plan: IngestPlan): Promise<Chain> {
  const gateway = await startGateway(world, 'gateway');
  const node = await startNode(world, { ports: await freePorts(1), nodeId: 1, gateway });
  const generator = await startGenerator(world, {
    name: 'chain',
    port: gateway.mqttPort,
    devices: devicesOf(plan),
    login: true,
  });
  await until({ what: 'the coordinator to drain' }, async () =>
    (await gateway.broker()).drain.connected ? true : undefined,
  );
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
 * Paces the generator at the highest rate that is drained, for `ms` (see core/governor.ts), and leaves it sending.
 * @param startRate where to begin
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

/** No traffic, and nothing is buffered. */
export async function rest({ gateway, generator }: Chain): Promise<void> {
  await generator.pause();
  await emptied(gateway);
}

/** Waits until nothing is buffered. */
export async function emptied(gateway: Gateway): Promise<void> {
  await until({ what: 'the backlog to be drained', timeoutMs: 120_000 }, async () =>
    (await gateway.broker()).counters.buffered === 0 ? true : undefined,
  );
}

/** Rows that were committed between two moments, by PostgreSQL's clock, which is this machine's. */
export async function committedBetween({ pool }: World, fromMs: number, toMs: number): Promise<number> {
  const [row] = await pool.query<{ rows: number }>(
    `SELECT coalesce(sum(rows), 0)::bigint AS rows FROM drain_batches
     WHERE committed_at >= to_timestamp($1::double precision / 1000) AND committed_at < to_timestamp($2::double precision / 1000)`,
    [fromMs, toMs],
  );
  return row?.rows ?? 0;
}

/**
 * What the fleet saw acknowledged is stored, all of it and once: figures of a path that loses something are worth nothing.
 * @throws MeshError `bench.unbalanced`
 */
export async function checkAccounts(chain: Chain): Promise<void> {
  await rest(chain);
  const { acked } = await chain.generator.read();
  const [row] = await chain.world.pool.query<{ stored: number }>(
    'SELECT count(*)::bigint AS stored FROM readings',
  );
  if (row?.stored !== acked)
    throw new MeshError('bench.unbalanced', `${acked} readings were acknowledged, ${row?.stored} are stored`);
}
