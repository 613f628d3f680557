/** A series of faults with its verdict. */
import type { ChaosDocument, InvariantVerdict } from '@thermomesh/contracts';
import { messageOf, sleep } from '@thermomesh/runtime';
import type { SqlPool } from '@thermomesh/sql';
import { summarise } from '../../durations.ts';
import { openPool } from '../../mesh/database.ts';
import { untilDrained } from '../../mesh/drained.ts';
import type { Mesh } from '../../mesh/mesh.ts';
import { readStatus } from '../../mesh/status.ts';
import { openTimeline, type Timeline } from '../../mesh/timeline.ts';
import { until } from '../../mesh/until.ts';
import { judgeLoad, type LoadVerdict } from '../../verdict/load.ts';
import { verifyMesh } from '../../verdict/verify.ts';
import { allOf } from '../../verdict/verdicts.ts';
import type { JobLoad } from '../../workloads/images/load.ts';
import { startLoad, type RunningLoad } from '../../workloads/readings/load.ts';
import {
  faultSignals,
  checkFault,
  describeFault,
  pauseMsOf,
  type Fault,
  type SignalFault,
} from '../faults/fault.ts';
import { judgeJobPromises } from '../judge/jobs.ts';
import { mergeRules } from '../judge/rules.ts';
import { countStaleWrites } from '../judge/stale-writes.ts';
import { startJobs } from './jobs.ts';
import type { ChaosOptions } from './options.ts';
import { playCut } from './play-cut.ts';
import { playDisconnect } from './play-disconnect.ts';
import { randomFaults, targetsOf } from './random.ts';
import { playSignal, type Round, type RoundOptions } from './rounds.ts';
import type { Step } from './schedule.ts';

/** Longer than any series of faults; the load is stopped at the end. */
const loadSecondsMax = 86_400;
const readyTimeoutMs = 60_000;
/**
 * Minimum duration of the load beside a series. A fault that is over at once would otherwise be
 * judged by a handful of readings.
 */
const loadMsMin = 1_000;
/** The promises that a load of readings puts to the test; without a verdict the series fails. */
const loadedPromises = ['I1', 'I2', 'I6'];

/**
 * Plays the series, then judges. A mesh that does not recover gives a broken verdict, not an error.
 * @throws MeshError `usage`, `mesh.timeout` if the mesh is not ready to begin with, `load.failed`
 */
export async function runChaos(mesh: Mesh, options: ChaosOptions): Promise<ChaosDocument> {
  const steps = stepsOf(mesh, options);
  for (const { fault } of steps) checkFault(mesh, fault);
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
          qos: 1,
          more: {},
        });
  const rounds: Round[] = [];
  let failure: string | undefined;
  let jobs: JobLoad | undefined;
  try {
    await load?.sending;
    const sendingFrom = performance.now();
    jobs = await startJobs(mesh, options, timeline);
    if (jobs !== undefined) options.onProgress('image jobs without faults');
    await jobs?.undisturbed;
    await playSteps(mesh, steps, options, { load, jobs }, timeline, rounds);
    if (load !== undefined) await sleep(Math.max(0, sendingFrom + loadMsMin - performance.now()));
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

/** The faults of the series with their times; 0 is as soon as the fault before is over. */
function stepsOf(mesh: Mesh, options: ChaosOptions): Step[] {
  const { target, node, times, signal, pauseMs = pauseMsOf.STOP } = options;
  const all = (fault: Fault): Step[] => Array.from({ length: times }, () => ({ atMs: 0, fault }));
  switch (target) {
    case 'schedule':
      return options.steps ?? [];
    case 'links':
      return options.cut === undefined ? [] : all(options.cut);
    case 'random': {
      const signals = signal === undefined ? faultSignals.filter((each) => each !== 'TERM') : [signal];
      const targets = targetsOf(mesh.run()?.processes ?? []);
      return randomFaults(options.seed ?? 0, times, targets, signals, pauseMs).map((fault) => ({
        atMs: 0,
        fault,
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
  if (target === 'links' && cut !== undefined) return describeFault(cut);
  return node === undefined ? target : `${target} ${node}`;
}

const measured = (rounds: Round[], what: 'failoverMs' | 'handOverMs') =>
  rounds.map((round) => round[what]).filter((value) => value !== null);

/** The load that runs meanwhile. */
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
  const images = await judgedJobs;
  const { document, live } = await verifyMesh(mesh, {
    timeoutMs: options.drainTimeoutMs,
    probe: false,
    onProgress: options.onProgress,
  });
  const judged = verdict?.document ?? live;
  const invariants = withJobs(
    document.invariants,
    images === undefined ? [] : judgeJobPromises(images.document),
  );
  const mustBeKept = verdict === undefined ? [] : loadedPromises;
  return {
    ok:
      allOf(invariants) !== false &&
      invariants.every(({ id, ok }) => ok === true || !mustBeKept.includes(id)) &&
      (verdict?.ok ?? true) &&
      (images?.ok ?? true),
    failure,
    ledgers: summary === undefined ? [] : [summary.ledger],
    fields: {
      drainMs: judged === undefined ? null : drainMs,
      load: loadOf(verdict),
      jobs: images?.document ?? null,
      lost: judged?.lost ?? null,
      duplicated: judged?.duplicated ?? null,
      corrupted: judged?.corrupted ?? null,
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
    for (const [index, { atMs, fault }] of steps.entries()) {
      const startedAt = Date.now();
      await sleep(Math.max(0, begunAt + atMs - startedAt));
      const head = `round ${index + 1} of ${steps.length}`;
      onProgress(`${head}: ${describeFault(fault)}`);
      timeline.note('round.begun', { round: index + 1, what: describeFault(fault) });
      const round =
        fault.kind === 'links'
          ? await playCut(mesh, pool, fault, roundOptions)
          : await playFault(mesh, pool, fault, roundOptions);
      await jobs?.moving(recoveryTimeoutMs);
      rounds.push(round);
      timeline.note('round.over', { round: index + 1, ...round });
      onProgress(`${head}: ${describeRound(round)}`);
      if (options.target !== 'schedule' && index + 1 < steps.length)
        await sleep(Math.max(0, options.everyMs - (Date.now() - startedAt)));
    }
  } finally {
    await pool.close();
  }
}

async function playFault(
  mesh: Mesh,
  pool: SqlPool,
  fault: SignalFault,
  options: RoundOptions,
): Promise<Round> {
  const { networks } = fault;
  return networks === undefined
    ? playSignal(mesh, pool, fault, options)
    : playDisconnect(mesh, pool, { ...fault, networks }, options);
}

function describeRound({ victim, failoverMs, handOverMs, rules }: Round): string {
  return [
    `${victim} is over, the mesh has recovered`,
    ...(failoverMs === null ? [] : [`failover ${Math.round(failoverMs)} ms`]),
    ...(handOverMs === null ? [] : [`hand-over ${Math.round(handOverMs)} ms`]),
    ...rules.filter(({ ok }) => !ok).map(({ id, detail }) => `BROKEN ${id}: ${detail}`),
  ].join(', ');
}

/**
 * Rethrows the error if the load generator failed at its start, because all later numbers would be
 * meaningless.
 */
async function rethrowIfLoadFailed(load: RunningLoad, error: unknown): Promise<void> {
  const failed = await Promise.race([
    load.finished.then(
      () => false,
      () => true,
    ),
    sleep(0).then(() => false),
  ]);
  if (failed) throw error;
}

function loadOf(verdict: LoadVerdict | undefined): ChaosDocument['load'] {
  return verdict?.document ?? null;
}

/** The jobs of this series say more about I4 and I5 than the records of earlier ones. */
function withJobs(verdicts: InvariantVerdict[], ofJobs: InvariantVerdict[]): InvariantVerdict[] {
  return verdicts.map((verdict) => ofJobs.find(({ id }) => id === verdict.id) ?? verdict);
}

function withFailure(verdict: InvariantVerdict, failure: string | undefined): InvariantVerdict {
  // The database is judged as it is, but the verdict must mention that the mesh did not recover.
  return verdict.id === 'I1'
    ? { ...verdict, detail: `${verdict.detail}; the series was cut short: ${failure}` }
    : verdict;
}
