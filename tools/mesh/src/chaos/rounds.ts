/** One blow after the other: hit, wait until the mesh is whole again, measure. */
import { setTimeout as delay } from 'node:timers/promises';
import { MeshError } from '@thermomesh/runtime';
import { isAlive, signalProcess } from '@thermomesh/servers';
import type { SqlPool } from '@thermomesh/sql';
import { readCoordinator, readStatus, type Mesh } from '../client/mesh.ts';
import { until } from '../client/until.ts';
import type { FindVictim, Victim } from './target.ts';

export interface RoundOptions {
  signal: 'KILL' | 'STOP';
  /** STOP only: how long the process stays stopped. */
  pauseMs: number;
  /** Readings arrive, so a successor's first commit can be waited for. */
  traffic: boolean;
  /** How long the mesh may take to be whole again. */
  recoveryTimeoutMs: number;
}

export interface Round {
  victim: string;
  /** Signal → the first commit of a higher epoch; null if the blow changed no epoch or nothing was there to commit. */
  failoverMs: number | null;
}

/**
 * Plays one round.
 * @throws MeshError `mesh.timeout` if the mesh does not recover in time
 */
export async function playRound(
  mesh: Mesh,
  pool: SqlPool,
  find: FindVictim,
  options: RoundOptions,
): Promise<Round> {
  const timeoutMs = options.recoveryTimeoutMs;
  const victim = await until({ what: 'a process to hurt', timeoutMs }, find);
  const hitAtMs = Date.now();
  if (!(await signalProcess(victim.identity, options.signal === 'KILL' ? 'SIGKILL' : 'SIGSTOP'))) {
    throw new MeshError('chaos.missed', `${victim.name} ended before it could be hit`);
  }
  if (options.signal === 'STOP') await pauseFor(victim, options.pauseMs);
  else
    await until({ what: `${victim.name} to end`, timeoutMs }, async () => !(await isAlive(victim.identity)));
  await untilWhole(mesh, victim, options.signal, timeoutMs);
  return { victim: victim.name, failoverMs: await measureFailover(mesh, pool, victim, hitAtMs, options) };
}

async function pauseFor(victim: Victim, pauseMs: number): Promise<void> {
  try {
    await delay(pauseMs);
  } finally {
    await signalProcess(victim.identity, 'SIGCONT');
  }
}

/** Every process is ready, the victim is a new process if it was killed, and somebody coordinates. */
async function untilWhole(
  mesh: Mesh,
  victim: Victim,
  signal: 'KILL' | 'STOP',
  timeoutMs: number,
): Promise<void> {
  await until(
    { what: `the mesh to be whole again after ${signal} of ${victim.name}`, timeoutMs, pollMs: 100 },
    async () => {
      const record = mesh.run()?.processes.find(({ name }) => name === victim.name);
      const same = record?.pid === victim.identity.pid && record.startTime === victim.identity.startTime;
      if (signal === 'KILL' && (record?.ready !== true || same)) return false;
      return (await readStatus(mesh)).ready;
    },
  );
}

async function measureFailover(
  mesh: Mesh,
  pool: SqlPool,
  victim: Victim,
  hitAtMs: number,
  { signal, traffic, recoveryTimeoutMs: timeoutMs }: RoundOptions,
): Promise<number | null> {
  const { epoch } = victim;
  if (epoch === undefined) return null;
  // A pause that is shorter than the detection time rightly changes nothing; a killed coordinator must be followed.
  const changed = async () => ((await readCoordinator(mesh))?.epoch ?? 0) > epoch;
  if (signal === 'KILL') await until({ what: `an epoch above ${epoch}`, timeoutMs }, changed);
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
