/** A container that goes on, cut off some of its networks for a while: the rules of a cut hold for it too. */
import { setTimeout as delay } from 'node:timers/promises';
import type { SqlPool } from '@thermomesh/sql';
import type { Mesh } from '../client/mesh.ts';
import { untilSettled } from '../client/settled.ts';
import { until } from '../client/until.ts';
import { describeBlow, type SignalBlow } from './blow.ts';
import { measureImageFailover } from './image-failover.ts';
import { drainedSql, present } from './play-cut.ts';
import type { Round, RoundOptions } from './rounds.ts';
import { judgeCut, type EpochBatches } from './rules.ts';
import { findVictim } from './target.ts';

/** While one of these is cut off nobody can drain, or nothing comes; everybody else can be done without. */
const needed: readonly string[] = ['gateway', 'postgres', 'fleet'];

/** Plays one round. @throws MeshError `mesh.timeout` if the mesh does not agree on a coordinator in time */
export async function playDisconnect(
  mesh: Mesh,
  pool: SqlPool,
  blow: SignalBlow & { networks: readonly string[] },
  { traffic, recoveryTimeoutMs: timeoutMs, note }: RoundOptions,
): Promise<Round> {
  const what = describeBlow(blow);
  await untilSettled(mesh, timeoutMs);
  const find = findVictim(mesh, blow.target, blow.node);
  const victim = await until({ what: 'a container to cut off', timeoutMs }, find);
  const before = await present(pool);
  const hitAtMs = Date.now();
  note('network.cut', { what, victim: victim.name, networks: blow.networks, epoch: before.epoch });
  const atHeal = await mesh.host.whileCutOff(victim, blow.networks, async () => {
    await delay(blow.pauseMs);
    return blow.target === 'postgres' ? undefined : present(pool);
  });
  note('network.healed', { what });
  await untilSettled(mesh, timeoutMs);
  const settled = await present(pool);
  const healed = atHeal ?? settled;
  const drained = await pool.query<EpochBatches & Record<string, unknown>>(drainedSql, [
    before.atMs,
    healed.atMs,
  ]);
  const rules = judgeCut({
    what: `${what} (${victim.name})`,
    cutAtMs: before.atMs,
    healedAtMs: healed.atMs,
    epochs: { before: before.epoch, atHeal: healed.epoch, settled: settled.epoch },
    drained,
    mustDrain: traffic && !needed.includes(blow.target),
  });
  const successor = drained.find(({ epoch }) => epoch > before.epoch);
  const { imageEpoch: epoch } = victim;
  if (epoch !== undefined) {
    const failoverMs = await measureImageFailover(mesh, { epoch, hitAtMs, ended: false, timeoutMs });
    return { victim: victim.name, failoverMs, handOverMs: null, rules };
  }
  const failoverMs = successor === undefined ? null : Math.max(0, successor.firstAtMs - before.atMs);
  return { victim: victim.name, failoverMs, handOverMs: null, rules };
}
