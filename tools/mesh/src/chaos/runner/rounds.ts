/** Plays the rounds of signals: inject a fault, wait until the mesh has recovered, measure. */
import type { RuleVerdict } from '@thermomesh/contracts';
import { sleep } from '@thermomesh/runtime';
import type { SqlPool } from '@thermomesh/sql';
import { meshError } from '../../errors.ts';
import type { Mesh } from '../../mesh/mesh.ts';
import { readCoordinator, readStatus } from '../../mesh/status.ts';
import { until } from '../../mesh/until.ts';
import { describeFault, type FaultSignal, type SignalFault } from '../faults/fault.ts';
import { findVictim, type Victim } from '../faults/target.ts';
import { judgeHandOver } from '../judge/rules.ts';
import { measureImageFailover } from './image-failover.ts';

export interface RoundOptions {
  /** True if readings arrive, so that a successor's first commit can be waited for. */
  traffic: boolean;
  /** Time limit for a recovery of the mesh. */
  recoveryTimeoutMs: number;
  /** Appends an event to the timeline of the series. */
  note: (event: string, detail?: Record<string, unknown>) => void;
}

export interface Round {
  victim: string;
  /**
   * Time from the fault to the first commit of a higher epoch, or until a successor of the
   * equalizer's coordinator has taken over. Null if the epoch did not change, the stop was
   * graceful, or there was nothing to commit.
   */
  failoverMs: number | null;
  /**
   * After a graceful stop of a coordinator: time from the last batch of the old epoch to the first
   * batch of the new one.
   */
  handOverMs: number | null;
  rules: RuleVerdict[];
}

/**
 * Plays one round of a signal.
 * @throws MeshError `mesh.timeout` if the mesh does not recover in time
 */
export async function playSignal(
  mesh: Mesh,
  pool: SqlPool,
  fault: SignalFault,
  options: RoundOptions,
): Promise<Round> {
  const timeoutMs = options.recoveryTimeoutMs;
  const find = findVictim(mesh, fault.target, fault.node);
  const victim = await until({ what: 'a process to break', timeoutMs }, find);
  const { epoch } = victim;
  if (fault.signal === 'TERM' && options.traffic && epoch !== undefined) {
    // A coordinator that has drained nothing yet has nothing to hand over, so there would be no gap
    // to measure.
    await until({ what: `a batch of epoch ${epoch}`, timeoutMs }, async () => hasBatches(pool, epoch));
  }
  const hitAtMs = Date.now();
  const signal = signalFor(fault);
  options.note('signal.sent', {
    signal,
    victim: victim.name,
    pid: victim.identity.pid,
    epoch: epoch ?? victim.imageEpoch ?? null,
  });
  if (fault.signal === 'STOP') {
    // PostgreSQL serves each connection by a process of its own.
    const how = { family: fault.target === 'postgres', timeoutMs };
    await mesh.host.whileFrozen(victim, how, async () => sleep(fault.pauseMs));
    options.note('signal.sent', { signal: 'SIGCONT', victim: victim.name, pid: victim.identity.pid });
  } else {
    if (!(await mesh.host.signal(victim, signal))) {
      throw meshError('chaos.missed', `${victim.name} ended before it could be hit`);
    }
    await until({ what: `${victim.name} to end`, timeoutMs }, async () => !(await mesh.host.isAlive(victim)));
  }
  await untilWhole(mesh, victim, fault.signal, timeoutMs);
  options.note('mesh.whole', { victim: victim.name });
  const failoverMs = await measureFailover(mesh, pool, victim, hitAtMs, { ...options, signal: fault.signal });
  // A graceful stop of an equalizer node is measured like a kill; its successor is only faster.
  if (fault.signal !== 'TERM' || epoch === undefined)
    return { victim: victim.name, failoverMs, handOverMs: null, rules: [] };
  const { gapMs, redelivered } = await measureHandOver(pool, epoch);
  const what = `${describeFault(fault)} (${victim.name}, epoch ${epoch})`;
  return {
    victim: victim.name,
    failoverMs: null,
    handOverMs: gapMs,
    rules: [judgeHandOver(what, redelivered)],
  };
}

/**
 * PostgreSQL waits for all its clients after a SIGTERM; SIGINT stops it gracefully at once
 * (pg_ctl's "fast").
 */
function signalFor({ signal, target }: SignalFault): NodeJS.Signals {
  if (signal === 'TERM') return target === 'postgres' ? 'SIGINT' : 'SIGTERM';
  return signal === 'KILL' ? 'SIGKILL' : 'SIGSTOP';
}

/**
 * Waits until every process is ready, an ended victim has a new process, and a coordinator is
 * elected.
 */
async function untilWhole(mesh: Mesh, victim: Victim, signal: FaultSignal, timeoutMs: number): Promise<void> {
  await until(
    { what: `the mesh to be whole again after ${signal} of ${victim.name}`, timeoutMs, pollMs: 100 },
    async () => {
      const record = mesh.run()?.processes.find(({ name }) => name === victim.name);
      const same = record?.pid === victim.identity.pid && record.startTime === victim.identity.startTime;
      if (signal !== 'STOP' && (record?.ready !== true || same)) return false;
      return (await readStatus(mesh)).ready;
    },
  );
}

async function measureFailover(
  mesh: Mesh,
  pool: SqlPool,
  victim: Victim,
  hitAtMs: number,
  { signal, traffic, recoveryTimeoutMs: timeoutMs }: RoundOptions & { signal: FaultSignal },
): Promise<number | null> {
  const { epoch, imageEpoch } = victim;
  if (imageEpoch !== undefined)
    return measureImageFailover(mesh, { epoch: imageEpoch, hitAtMs, ended: signal !== 'STOP', timeoutMs });
  if (epoch === undefined) return null;
  // A pause shorter than the detection time may change nothing, but an ended coordinator must have
  // a successor.
  const changed = async () => ((await readCoordinator(mesh))?.epoch ?? 0) > epoch;
  if (signal !== 'STOP') await until({ what: `an epoch above ${epoch}`, timeoutMs }, changed);
  else if (!(await changed())) return null;
  if (!traffic) return firstCommitAfter(pool, epoch, hitAtMs);
  return until(
    { what: `the first commit of an epoch above ${epoch}`, timeoutMs },
    async () => (await firstCommitAfter(pool, epoch, hitAtMs)) ?? undefined,
  );
}

async function firstCommitAfter(pool: SqlPool, epoch: number, hitAtMs: number): Promise<number | null> {
  const sql =
    'SELECT (extract(epoch FROM min(committed_at)) * 1000)::float8 AS "atMs" FROM drain_batches WHERE epoch > $1';
  // Right after a fault of the database a pooled connection may be dead.
  const rows = await pool.query<{ atMs: number | null }>(sql, [epoch]).catch(() => []);
  const atMs = rows[0]?.atMs ?? null;
  return atMs === null ? null : Math.max(0, atMs - hitAtMs);
}

async function hasBatches(pool: SqlPool, epoch: number): Promise<boolean> {
  return (await pool.query('SELECT FROM drain_batches WHERE epoch = $1 LIMIT 1', [epoch])).length > 0;
}

async function measureHandOver(
  pool: SqlPool,
  epoch: number,
): Promise<{ gapMs: number | null; redelivered: number }> {
  const sql = `
    WITH successor AS (SELECT min(epoch) AS epoch FROM drain_batches WHERE epoch > $1)
    SELECT (extract(epoch FROM min(committed_at) - (SELECT max(committed_at) FROM drain_batches WHERE epoch = $1))
      * 1000)::float8 AS "gapMs", coalesce(sum(redelivered), 0)::int AS redelivered
    FROM drain_batches WHERE epoch = (SELECT epoch FROM successor)`;
  const [row] = await pool.query<{ gapMs: number | null; redelivered: number }>(sql, [epoch]);
  return row ?? { gapMs: null, redelivered: 0 };
}
