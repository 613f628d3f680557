/** A series of blows with its verdict. */
import { setTimeout as delay } from 'node:timers/promises';
import type { ChaosDocument, InvariantVerdict } from '@thermomesh/contracts';
import { messageOf } from '@thermomesh/runtime';
import type { SqlPool } from '@thermomesh/sql';
import { untilDrained } from '../client/drained.ts';
import { judgeLoad, startLoad, type LoadVerdict, type RunningLoad } from '../client/load.ts';
import { readStatus, type Mesh } from '../client/mesh.ts';
import { until } from '../client/until.ts';
import { openPool, verifyMesh } from '../verdict/verify.ts';
import {
  blowSignals,
  checkBlow,
  describeBlow,
  pauseMsOf,
  type Blow,
  type BlowSignal,
  type SignalBlow,
} from './blow.ts';
import type { JobLoad, JobLoadSize } from '../equalize/load.ts';
import type { CutBlow } from './cut.ts';
import { judgeJobPromises, startJobs } from './jobs.ts';
import { playCut } from './play-cut.ts';
import { playDisconnect } from './play-disconnect.ts';
import { randomBlows, targetsOf } from './random.ts';
import { playSignal, type Round, type RoundOptions } from './rounds.ts';
import { mergeRules } from './rules.ts';
import type { Step } from './schedule.ts';
import { countStaleWrites } from './stale-writes.ts';
import { summarise } from './summary.ts';
import type { TargetKind } from './target.ts';
import { openTimeline, type Timeline } from './timeline.ts';

export interface ChaosOptions {
  /** A process by its role, `random` ones, `links` (with `cut`) or a `schedule` (with `steps`). */
  target: TargetKind | 'random' | 'links' | 'schedule';
  node?: number | undefined;
  /** Of `random`: only this one; left out: KILL and STOP. */
  signal: BlowSignal | undefined;
  /** Of STOP, how long; of `random`, how long at most; undefined: 3 s. */
  pauseMs: number | undefined;
  /** Of a container: it is cut off these networks instead. */
  networks?: readonly string[] | undefined;
  cut?: CutBlow | undefined;
  steps?: Step[] | undefined;
  /** Of `random`. */
  seed?: number | undefined;
  times: number;
  /** From one blow to the next; more if the mesh is not whole yet. */
  everyMs: number;
  /** How long the mesh may take to be whole again. */
  recoveryTimeoutMs: number;
  /**
   * Readings that a generator sends meanwhile, and image jobs where the target concerns the equalizer or `jobs` says how many;
   * undefined: none.
   */
  load: { devices: number; rate: number; jobs?: JobLoadSize } | undefined;
  drainTimeoutMs: number;
  onProgress: (line: string) => void;
}

/** Longer than any series of blows: it is told to finish. */
const loadSecondsMax = 86_400;
const readyTimeoutMs = 60_000;

/**
 * Plays the series, then judges. A mesh that does not recover is a broken verdict, not an error.
 * @throws MeshError `usage`, `mesh.timeout` if the mesh is not ready in the first place, `load.failed`
 */
export async function runChaos(mesh: Mesh, options: ChaosOptions): Promise<ChaosDocument> {
  const steps = stepsOf(mesh, options);
  for (const { blow } of steps) checkBlow(mesh, blow);
  await until(
    { what: 'the mesh to be ready', timeoutMs: readyTimeoutMs },
    async () => (await readStatus(mesh)).ready,
  );
  const stale = await countStaleWrites(mesh);
  const timeline = openTimeline(mesh);
  const what = describeSeries(options);
  timeline.note('series.begun', { what, rounds: steps.length });
  const load =
    options.load === undefined
      ? undefined
      : startLoad(mesh, {
          devices: options.load.devices,
          rate: options.load.rate,
          seconds: loadSecondsMax,
          ...{ qos: 1, more: {} },
        });
  const rounds: Round[] = [];
  let failure: string | undefined;
  let jobs: JobLoad | undefined;
  try {
    await load?.sending;
    jobs = await startJobs(mesh, options, timeline);
    if (jobs !== undefined) options.onProgress('image jobs, undisturbed');
    await jobs?.undisturbed;
    await playSteps(mesh, steps, options, { load, jobs }, timeline, rounds);
  } catch (error) {
    if (load !== undefined && rounds.length === 0) await rethrowIfLoadFailed(load, error);
    failure = messageOf(error);
    timeline.note('series.cut_short', { reason: failure });
    options.onProgress(failure);
  }
  await mesh.host.bringLogs(timeline.since);
  const ended = await judgeSeries(mesh, options, { load, jobs }, failure);
  const rules = mergeRules(rounds.flatMap((round) => round.rules));
  const complete = ended.failure === undefined && rounds.length === steps.length;
  const document: ChaosDocument = {
    ok: complete && ended.ok && rules.every(({ ok }) => ok),
    target: what,
    rounds: rounds.length,
    failoverMs: summarise(measured(rounds, 'failoverMs')),
    handOverMs: summarise(measured(rounds, 'handOverMs')),
    rules,
    seed: options.target === 'random' ? (options.seed ?? 0) : null,
    folder: timeline.folder,
    ...ended.fields,
    staleWritesRefused: await stale.total(),
  };
  timeline.note('series.judged', { ok: document.ok, rules, invariants: document.invariants });
  timeline.close(ended.ledgers);
  return document;
}

/** Every blow of the series with its time; 0 is as soon as the one before is over. */
function stepsOf(mesh: Mesh, options: ChaosOptions): Step[] {
  const { target, node, times, signal, pauseMs = pauseMsOf.STOP } = options;
  const all = (blow: Blow): Step[] => Array.from({ length: times }, () => ({ atMs: 0, blow }));
  switch (target) {
    case 'schedule':
      return options.steps ?? [];
    case 'links':
      return options.cut === undefined ? [] : all(options.cut);
    case 'random': {
      const signals = signal === undefined ? blowSignals.filter((each) => each !== 'TERM') : [signal];
      const targets = targetsOf(mesh.run()?.processes ?? []);
      return randomBlows(options.seed ?? 0, times, targets, signals, pauseMs).map((blow) => ({
        atMs: 0,
        blow,
      }));
    }
    default:
      if (options.networks !== undefined)
        return all({ kind: 'signal', target, node, signal: 'STOP', pauseMs, networks: options.networks });
      return all({ kind: 'signal', target, node, signal: signal ?? 'KILL', pauseMs });
  }
}

function describeSeries({ target, node, cut, seed }: ChaosOptions): string {
  if (target === 'random') return `random (seed ${seed ?? 0})`;
  if (target === 'links' && cut !== undefined) return describeBlow(cut);
  return node === undefined ? target : `${target} ${node}`;
}

const measured = (rounds: Round[], what: 'failoverMs' | 'handOverMs') =>
  rounds.map((round) => round[what]).filter((value) => value !== null);

/** What runs meanwhile. */
interface Traffic {
  load: RunningLoad | undefined;
  jobs: JobLoad | undefined;
}

type Judged = Pick<
  ChaosDocument,
  'drainMs' | 'load' | 'jobs' | 'lost' | 'duplicated' | 'corrupted' | 'invariants'
>;

/** Ends the load, waits for the drain and judges the promises. */
async function judgeSeries(
  mesh: Mesh,
  options: ChaosOptions,
  { load, jobs }: Traffic,
  cutShort: string | undefined,
): Promise<{ ok: boolean; failure: string | undefined; ledgers: string[]; fields: Judged }> {
  let failure = cutShort;
  load?.finish();
  const judgedJobs = jobs?.finish(options.drainTimeoutMs);
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
  const images = await judgedJobs;
  const invariants = [
    ...document.invariants,
    ...(images === undefined ? [] : judgeJobPromises(images.document)),
  ];
  return {
    ok: document.ok && (verdict?.ok ?? true) && (images?.ok ?? true),
    failure,
    ledgers: summary === undefined ? [] : [summary.ledger],
    fields: {
      drainMs,
      load: loadOf(verdict),
      jobs: images?.document ?? null,
      lost: judged?.lost ?? 0,
      duplicated: judged?.duplicated ?? 0,
      corrupted: judged?.corrupted ?? 0,
      invariants: failure === undefined ? invariants : invariants.map((each) => withFailure(each, failure)),
    },
  };
}

async function playSteps(
  mesh: Mesh,
  steps: Step[],
  options: ChaosOptions,
  { load, jobs }: Traffic,
  timeline: Timeline,
  rounds: Round[],
): Promise<void> {
  const traffic = load !== undefined || (mesh.run()?.processes ?? []).some(({ role }) => role === 'fleet');
  const { recoveryTimeoutMs, onProgress } = options;
  const roundOptions: RoundOptions = { traffic, recoveryTimeoutMs, note: timeline.note };
  const pool = openPool(mesh);
  const begunAt = Date.now();
  try {
    for (const [index, { atMs, blow }] of steps.entries()) {
      const startedAt = Date.now();
      await delay(Math.max(0, begunAt + atMs - startedAt));
      const head = `round ${index + 1} of ${steps.length}`;
      onProgress(`${head}: ${describeBlow(blow)}`);
      timeline.note('round.begun', { round: index + 1, what: describeBlow(blow) });
      const round =
        blow.kind === 'links'
          ? await playCut(mesh, pool, blow, roundOptions)
          : await playBlow(mesh, pool, blow, roundOptions);
      await jobs?.moving(recoveryTimeoutMs);
      rounds.push(round);
      timeline.note('round.over', { round: index + 1, ...round });
      onProgress(`${head}: ${describeRound(round)}`);
      if (options.target !== 'schedule' && index + 1 < steps.length)
        await delay(Math.max(0, options.everyMs - (Date.now() - startedAt)));
    }
  } finally {
    await pool.close();
  }
}

async function playBlow(mesh: Mesh, pool: SqlPool, blow: SignalBlow, options: RoundOptions): Promise<Round> {
  const { networks } = blow;
  return networks === undefined
    ? playSignal(mesh, pool, blow, options)
    : playDisconnect(mesh, pool, { ...blow, networks }, options);
}

function describeRound({ victim, failoverMs, handOverMs, rules }: Round): string {
  return [
    `${victim} is over, the mesh is whole again`,
    ...(failoverMs === null ? [] : [`failover ${Math.round(failoverMs)} ms`]),
    ...(handOverMs === null ? [] : [`hand-over ${Math.round(handOverMs)} ms`]),
    ...rules.filter(({ ok }) => !ok).map(({ id, detail }) => `BROKEN ${id}: ${detail}`),
  ].join(', ');
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
