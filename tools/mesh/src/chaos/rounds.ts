/** One blow after the other: hit, wait until the mesh is whole again, measure. */
import { setTimeout as delay } from 'node:timers/promises';
import type { RuleVerdict } from '@thermomesh/contracts';
import { MeshError } from '@thermomesh/runtime';
import type { SqlPool } from '@thermomesh/sql';
import { readCoordinator, readStatus, type Mesh } from '../client/mesh.ts';
import { until } from '../client/until.ts';
import { describeBlow, type BlowSignal, type SignalBlow } from './blow.ts';
import { measureImageFailover } from './image-failover.ts';
import { judgeHandOver } from './rules.ts';
import { findVictim, type Victim } from './target.ts';

export interface RoundOptions {
  /** Readings arrive, so a successor's first commit can be waited for. */
  traffic: boolean;
  /** How long the mesh may take to be whole again. */
  recoveryTimeoutMs: number;
  /** Writes into the timeline of the series. */
  note: (event: string, detail?: Record<string, unknown>) => void;
}

export interface Round {
  victim: string;
  /** Blow → the first commit of a higher epoch, or a coordinator of the equalizer that goes on; null if it changed no epoch, was an orderly end, or nothing was there to commit. */
  failoverMs: number | null;
  /** Orderly ends of a coordinator: the last batch of the old epoch → the first of the new one. */
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
  blow: SignalBlow,
  options: RoundOptions,
): Promise<Round> {
  const timeoutMs = options.recoveryTimeoutMs;
  const find = findVictim(mesh, blow.target, blow.node);
  const victim = await until({ what: 'a process to hurt', timeoutMs }, find);
  const { epoch } = victim;
  if (blow.signal === 'TERM' && options.traffic && epoch !== undefined) {
    // A coordinator that has drained nothing yet has nothing to hand over, and no gap could be measured.
    await until({ what: `a batch of epoch ${epoch}`, timeoutMs }, async () => hasBatches(pool, epoch));
  }
  const hitAtMs = Date.now();
  const signal = signalFor(blow);
  options.note('signal.sent', {
    signal,
    victim: victim.name,
    pid: victim.identity.pid,
    epoch: epoch ?? victim.imageEpoch ?? null,
  });
  if (blow.signal === 'STOP') {
    // PostgreSQL serves each connection by a process of its own.
    const how = { family: blow.target === 'postgres', timeoutMs };
    await mesh.host.whileFrozen(victim, how, async () => delay(blow.pauseMs));
    options.note('signal.sent', { signal: 'SIGCONT', victim: victim.name, pid: victim.identity.pid });
  } else {
    if (!(await mesh.host.signal(victim, signal))) {
      throw new MeshError('chaos.missed', `${victim.name} ended before it could be hit`);
    }
    await until({ what: `${victim.name} to end`, timeoutMs }, async () => !(await mesh.host.isAlive(victim)));
  }
  await untilWhole(mesh, victim, blow.signal, timeoutMs);
  options.note('mesh.whole', { victim: victim.name });
  const failoverMs = await measureFailover(mesh, pool, victim, hitAtMs, { ...options, signal: blow.signal });
  // An equalizer that ends in order is followed like one that was killed, only sooner.
  if (blow.signal !== 'TERM' || epoch === undefined)
    return { victim: victim.name, failoverMs, handOverMs: null, rules: [] };
  const { gapMs, redelivered } = await measureHandOver(pool, epoch);
  const what = `${describeBlow(blow)} (${victim.name}, epoch ${epoch})`;
  return {
    victim: victim.name,
    failoverMs: null,
    handOverMs: gapMs,
    rules: [judgeHandOver(what, redelivered)],
  };
}

/** PostgreSQL waits for all its clients after a SIGTERM; what ends it in order is SIGINT (pg_ctl's "fast"). */
function signalFor({ signal, target }: SignalBlow): NodeJS.Signals {
  if (signal === 'TERM') return target === 'postgres' ? 'SIGINT' : 'SIGTERM';
  return signal === 'KILL' ? 'SIGKILL' : 'SIGSTOP';
}

/** Every process is ready, the victim is a new process if it was ended, and somebody coordinates. */
async function untilWhole(mesh: Mesh, victim: Victim, signal: BlowSignal, timeoutMs: number): Promise<void> {
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
  { signal, traffic, recoveryTimeoutMs: timeoutMs }: RoundOptions & { signal: BlowSignal },
): Promise<number | null> {
  const { epoch, imageEpoch } = victim;
  if (imageEpoch !== undefined)
    return measureImageFailover(mesh, { epoch: imageEpoch, hitAtMs, ended: signal !== 'STOP', timeoutMs });
  if (epoch === undefined) return null;
  // A pause that is shorter than the detection time rightly changes nothing; one that ended must be followed.
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
  // Right after a blow to the database a pooled connection may turn out to be dead.
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
