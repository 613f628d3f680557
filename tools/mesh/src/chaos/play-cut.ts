/** One cut: break the links, keep them broken for a while, heal them, wait until everybody agrees again, judge. */
import { setTimeout as delay } from 'node:timers/promises';
import { describeCondition } from '@thermomesh/links';
import type { SqlPool } from '@thermomesh/sql';
import { linksClient } from '../client/links.ts';
import type { Mesh } from '../client/mesh.ts';
import { untilSettled } from '../client/settled.ts';
import { linkEndsOf } from './blow.ts';
import { conditionsOf, describeCut, someoneCanDrain, type CutBlow } from './cut.ts';
import type { Round, RoundOptions } from './rounds.ts';
import { judgeCut, type EpochBatches } from './rules.ts';

/** What each epoch committed between two moments, by the database's clock. */
export const drainedSql = `
  SELECT epoch, node, count(*)::int AS batches, sum(rows)::int AS rows, min(id) AS "firstId", max(id) AS "lastId",
    (extract(epoch FROM min(committed_at)) * 1000)::float8 AS "firstAtMs",
    (extract(epoch FROM max(committed_at)) * 1000)::float8 AS "lastAtMs"
  FROM drain_batches WHERE committed_at >= to_timestamp($1 / 1000.0) AND committed_at < to_timestamp($2 / 1000.0)
  GROUP BY epoch, node ORDER BY min(id)`;

const nowSql =
  'SELECT epoch, node_id AS node, (extract(epoch FROM clock_timestamp()) * 1000)::float8 AS "atMs" FROM coordinator';

/** Plays one round. @throws MeshError `mesh.timeout` if the mesh does not agree on a coordinator in time */
export async function playCut(
  mesh: Mesh,
  pool: SqlPool,
  blow: CutBlow,
  { traffic, recoveryTimeoutMs, note }: RoundOptions,
): Promise<Round> {
  const what = describeCut(blow);
  const links = linksClient(mesh);
  const there = linkEndsOf(mesh);
  await untilSettled(mesh, recoveryTimeoutMs);
  const before = await present(pool);
  const conditions = conditionsOf(blow, there, before.node);
  await links.set(conditions, blow.pauseMs);
  const named = Object.entries(conditions).map(([link, of]) => `${link} ${describeCondition(of)}`);
  note('links.cut', { what, coordinator: before.node, epoch: before.epoch, links: named });
  let atHeal;
  try {
    await delay(blow.pauseMs);
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

/** Who may write now, by the database and its clock. */
export async function present(pool: SqlPool): Promise<{ epoch: number; node: number; atMs: number }> {
  const [row] = await pool.query<{ epoch: number; node: number; atMs: number }>(nowSql);
  return row ?? { epoch: 0, node: 0, atMs: Date.now() };
}
