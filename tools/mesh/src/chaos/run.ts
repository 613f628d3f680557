/** A series of blows with its verdict. */
import { setTimeout as delay } from 'node:timers/promises';
import type { ChaosDocument, InvariantVerdict } from '@thermomesh/contracts';
import { messageOf } from '@thermomesh/runtime';
import { untilDrained } from '../client/drained.ts';
import { judgeLoad, startLoad, type LoadVerdict, type RunningLoad } from '../client/load.ts';
import { readStatus, type Mesh } from '../client/mesh.ts';
import { until } from '../client/until.ts';
import { openPool, verifyMesh } from '../verdict/verify.ts';
import { playRound, type Round, type RoundOptions } from './rounds.ts';
import { countStaleWrites } from './stale-writes.ts';
import { summarise } from './summary.ts';
import { checkTarget, findVictim, type TargetKind } from './target.ts';

export interface ChaosOptions extends Omit<RoundOptions, 'traffic'> {
  target: TargetKind;
  node: number | undefined;
  times: number;
  /** From one blow to the next; more if the mesh is not whole yet. */
  everyMs: number;
  /** Readings that a generator sends meanwhile; undefined: none. */
  load: { devices: number; rate: number } | undefined;
  drainTimeoutMs: number;
  onProgress: (line: string) => void;
}

/** Longer than any series of blows: it is told to finish. */
const loadSecondsMax = 86_400;
const readyTimeoutMs = 60_000;

/**
 * Hurts the target again and again, then judges. A mesh that does not recover is a broken verdict, not an error.
 * @throws MeshError `usage`, `mesh.timeout` if the mesh is not ready in the first place, `load.failed`
 */
export async function runChaos(mesh: Mesh, options: ChaosOptions): Promise<ChaosDocument> {
  checkTarget(mesh, options.target, options.node);
  await until(
    { what: 'the mesh to be ready', timeoutMs: readyTimeoutMs },
    async () => (await readStatus(mesh)).ready,
  );
  const stale = await countStaleWrites(mesh);
  const load =
    options.load === undefined
      ? undefined
      : startLoad(mesh, { ...options.load, seconds: loadSecondsMax, qos: 1, more: {} });
  const rounds: Round[] = [];
  let failure: string | undefined;
  try {
    await load?.sending;
    await playRounds(mesh, options, load !== undefined, rounds);
  } catch (error) {
    if (load !== undefined && rounds.length === 0) await rethrowIfLoadFailed(load, error);
    failure = messageOf(error);
    options.onProgress(failure);
  }
  load?.finish();
  const summary = await load?.finished;
  options.onProgress('draining');
  const drainedFrom = Date.now();
  const drained = await untilDrained(mesh, { timeoutMs: options.drainTimeoutMs }).then(
    () => true,
    (error: unknown) => {
      failure ??= messageOf(error);
      return false;
    },
  );
  const drainMs = drained ? Date.now() - drainedFrom : null;
  const verdict = summary === undefined ? undefined : await judgeLoad(mesh, summary, options.drainTimeoutMs);
  const { document, comparison } = await verifyMesh(mesh, {
    timeoutMs: options.drainTimeoutMs,
    onProgress: options.onProgress,
  });
  const judged = verdict?.document ?? comparison;
  const complete = failure === undefined && rounds.length === options.times;
  return {
    ok: complete && document.ok && (verdict?.ok ?? true),
    target: options.node === undefined ? options.target : `${options.target} ${options.node}`,
    rounds: rounds.length,
    failoverMs: summarise(rounds.flatMap(({ failoverMs }) => (failoverMs === null ? [] : [failoverMs]))),
    drainMs,
    load: loadOf(verdict),
    jobs: null,
    lost: judged?.lost ?? 0,
    duplicated: judged?.duplicated ?? 0,
    corrupted: judged?.corrupted ?? 0,
    staleWritesRefused: await stale.total(),
    invariants:
      failure === undefined
        ? document.invariants
        : document.invariants.map((each) => withFailure(each, failure)),
  };
}

async function playRounds(
  mesh: Mesh,
  options: ChaosOptions,
  loaded: boolean,
  rounds: Round[],
): Promise<void> {
  const find = findVictim(mesh, options.target, options.node);
  const traffic = loaded || (mesh.run()?.processes ?? []).some(({ role }) => role === 'fleet');
  const pool = openPool(mesh);
  try {
    for (let number = 1; number <= options.times; number += 1) {
      const startedAt = Date.now();
      options.onProgress(
        `round ${number} of ${options.times}: ${options.signal} ${options.target} ${options.node ?? ''}`.trimEnd(),
      );
      const round = await playRound(mesh, pool, find, { ...options, traffic });
      rounds.push(round);
      const failover = round.failoverMs === null ? '' : `, failover ${Math.round(round.failoverMs)} ms`;
      options.onProgress(`round ${number} of ${options.times}: ${round.victim} is whole again${failover}`);
      if (number < options.times) await delay(Math.max(0, options.everyMs - (Date.now() - startedAt)));
    }
  } finally {
    await pool.close();
  }
}

/** A generator that could not even begin makes every later number meaningless. */
async function rethrowIfLoadFailed(load: RunningLoad, error: unknown): Promise<void> {
  const failed = await Promise.race([
    load.finished.then(
      () => false,
      () => true,
    ),
    delay(0).then(() => false),
  ]);
  if (failed) throw error;
}

function loadOf(verdict: LoadVerdict | undefined): ChaosDocument['load'] {
  return verdict?.document ?? null;
}

function withFailure(verdict: InvariantVerdict, failure: string | undefined): InvariantVerdict {
  // The database is judged as it is, but nobody should overlook that the mesh did not recover.
  return verdict.id === 'I1'
    ? { ...verdict, detail: `${verdict.detail}; the series was cut short: ${failure}` }
    : verdict;
}
