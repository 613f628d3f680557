/**
 * Plays one cut: breaks the links for some time, heals them, waits until all nodes agree again, and
 * judges.
 */
import { describeCondition } from '@thermomesh/links';
import { sleep } from '@thermomesh/runtime';
import type { SqlPool } from '@thermomesh/sql';
import { linksClient } from '../../mesh/links.ts';
import type { Mesh } from '../../mesh/mesh.ts';
import { untilSettled } from '../../mesh/settled.ts';
import { conditionsOf, describeCut, someoneCanDrain, type CutFault } from '../faults/cut.ts';
import { linkEndsOf } from '../faults/fault.ts';
import { judgeCut, type EpochBatches } from '../judge/rules.ts';
import type { Round, RoundOptions } from './rounds.ts';

/** The commits of each epoch between two moments, by the clock of the database. */
export const drainedSql = `
  SELECT epoch, node, count(*)::int AS batches, sum(rows)::int AS rows, min(id) AS "firstId", max(id) AS "lastId",
    (extract(epoch FROM min(committed_at)) * 1000)::float8 AS "firstAtMs",
    (extract(epoch FROM max(committed_at)) * 1000)::float8 AS "lastAtMs"
  FROM drain_batches WHERE committed_at >= to_timestamp($1 / 1000.0) AND committed_at < to_timestamp($2 / 1000.0)
  GROUP BY epoch, node ORDER BY min(id)`;

const nowSql =
  'SELECT epoch, node_id AS node, (extract(epoch FROM clock_timestamp()) * 1000)::float8 AS "atMs" FROM coordinator';

/**
 * Plays one round.
 * @throws MeshError `mesh.timeout` if the mesh does not agree on a coordinator in time
 */
export async function playCut(
  mesh: Mesh,
  pool: SqlPool,
  fault: CutFault,
  { traffic, recoveryTimeoutMs, note }: RoundOptions,
): Promise<Round> {
  const what = describeCut(fault);
  const links = linksClient(mesh);
  const there = linkEndsOf(mesh);
  await untilSettled(mesh, recoveryTimeoutMs);
  const before = await present(pool);
  const conditions = conditionsOf(fault, there, before.node);
  await links.set(conditions, fault.pauseMs);
  const named = Object.entries(conditions).map(([link, of]) => `${link} ${describeCondition(of)}`);
  note('links.cut', { what, coordinator: before.node, epoch: before.epoch, links: named });
  let atHeal;
  try {
    await sleep(fault.pauseMs);
    atHeal = await present(pool);
  } finally {
    await links.heal();
    note('links.healed', { what });
  }
  await untilSettled(mesh, recoveryTimeoutMs);
  const settled = await present(pool);
  const drained = await pool.query<EpochBatches & Record<string, unknown>>(drainedSql, [
    before.atMs,
    atHeal.atMs,
  ]);
  const rules = judgeCut({
    what,
    cutAtMs: before.atMs,
    healedAtMs: atHeal.atMs,
    epochs: { before: before.epoch, atHeal: atHeal.epoch, settled: settled.epoch },
    drained,
    mustDrain: traffic && someoneCanDrain(conditions, there),
  });
  const successor = drained.find(({ epoch }) => epoch > before.epoch);
  const failoverMs = successor === undefined ? null : Math.max(0, successor.firstAtMs - before.atMs);
  return { victim: what, failoverMs, handOverMs: null, rules };
}

/** The coordinator that may write now, and the time, both from the database. */
export async function present(pool: SqlPool): Promise<{ epoch: number; node: number; atMs: number }> {
  const [row] = await pool.query<{ epoch: number; node: number; atMs: number }>(nowSql);
  return row ?? { epoch: 0, node: 0, atMs: Date.now() };
}
