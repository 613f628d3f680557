/**
 * Plays a round in which a container is disconnected from some of its networks for some time,
 * judged by the rules of a cut.
 */
import { sleep } from '@thermomesh/runtime';
import type { SqlPool } from '@thermomesh/sql';
import type { Mesh } from '../../mesh/mesh.ts';
import { untilSettled } from '../../mesh/settled.ts';
import { until } from '../../mesh/until.ts';
import { describeFault, type SignalFault } from '../faults/fault.ts';
import { findVictim } from '../faults/target.ts';
import { judgeCut, type EpochBatches } from '../judge/rules.ts';
import { measureImageFailover } from './image-failover.ts';
import { drainedSql, present } from './play-cut.ts';
import type { Round, RoundOptions } from './rounds.ts';

/** Nothing can be drained, or no readings arrive, while one of these is disconnected. */
const needed: readonly string[] = ['gateway', 'postgres', 'fleet'];

/**
 * Plays one round.
 * @throws MeshError `mesh.timeout` if the mesh does not agree on a coordinator in time
 */
export async function playDisconnect(
  mesh: Mesh,
  pool: SqlPool,
  fault: SignalFault & { networks: readonly string[] },
  { traffic, recoveryTimeoutMs: timeoutMs, note }: RoundOptions,
): Promise<Round> {
  const what = describeFault(fault);
  await untilSettled(mesh, timeoutMs);
  const find = findVictim(mesh, fault.target, fault.node);
  const victim = await until({ what: 'a container to disconnect', timeoutMs }, find);
  const before = await present(pool);
  const hitAtMs = Date.now();
  note('network.cut', { what, victim: victim.name, networks: fault.networks, epoch: before.epoch });
  const atHeal = await mesh.host.whileCutOff(victim, fault.networks, async () => {
    await sleep(fault.pauseMs);
    return fault.target === 'postgres' ? undefined : present(pool);
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
    mustDrain: traffic && !needed.includes(fault.target),
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
