/**
 * The coordinator of all jobs as a function (J. Dean, S. Ghemawat, "MapReduce: Simplified Data
 * Processing on Large Clusters", OSDI 2004; here the coordinator itself can be replaced). No clock,
 * no randomness, no sockets. `testdata/*.txt` tells it in stories.
 */
import { boundedReason, type JobMetadata, type ResultRecord } from '@thermomesh/contracts';
import {
  isOver,
  issuesOf,
  jobAtStart,
  jobsOf,
  outputsOf,
  phaseOf,
  taskOf,
  taskPhaseOf,
  withContribution,
  withIssue,
} from './jobs.ts';
import { planChunks } from './plan.ts';
import { refusalOf } from './refusals.ts';
import { nextChunk, nextJob } from './schedule.ts';
import type { CoordinatorEffect, CoordinatorEvent, CoordinatorState, Issue, Job, Timer } from './types.ts';

/** The state that this step may change, and the effects it wants. */
type Turn = { -readonly [K in keyof CoordinatorState]: CoordinatorState[K] } & {
  effects: CoordinatorEffect[];
};

/** Takes a state and an event; returns the next state and the effects to carry out, in order. */
export function step(
  before: CoordinatorState,
  event: CoordinatorEvent,
): [CoordinatorState, CoordinatorEffect[]] {
  if (before.deposed) return [before, []];
  const turn: Turn = { ...before, effects: [] };
  react(turn, event);
  if (!turn.deposed) schedule(turn);
  const { effects, ...after } = turn;
  return [after, effects];
}

/**
 * Applies a result that is read back during recovery: like {@link step}, but without effects and
 * without new work.
 */
export function absorb(before: CoordinatorState, record: ResultRecord): CoordinatorState {
  const turn: Turn = { ...before, effects: [] };
  handleResult(turn, record);
  const { effects: _, ...after } = turn;
  return after;
}

function react(turn: Turn, event: CoordinatorEvent): void {
  switch (event.type) {
    case 'submitted':
      return submit(turn, event);
    case 'decoded':
      return plan(turn, event);
    case 'reduced':
      return inPhase(turn, event.jobId, 'reducing', (job) =>
        open(turn, { ...job.metadata, phase: 'applying', table: event.table }),
      );
    case 'stitched':
      return inPhase(turn, event.jobId, 'stitching', (job) =>
        end(turn, job, { ...job.metadata, phase: 'finished', result: event.result }),
      );
    case 'workFailed':
      return inPhase(turn, event.jobId, event.phase, (job) => fail(turn, job, event.reason));
    case 'result':
      return handleResult(turn, event.record);
    case 'timeout':
      return event.timer.kind === 'retention'
        ? forget(turn, event.timer.jobId)
        : straggled(turn, event.timer);
    case 'cancelled':
      return cancel(turn, event.jobId);
    case 'deposed':
      return event.epoch > turn.epoch ? stepDown(turn, event.epoch) : undefined;
    case 'resumed':
      return resume(turn);
  }
}

// ── Job lifecycle

function submit(turn: Turn, event: CoordinatorEvent & { type: 'submitted' }): void {
  if (turn.jobs[event.id] !== undefined) return;
  const { id, number, caller, input, parameters } = event;
  const nothingYet = { turn: null, image: null, grid: null, table: null, result: null, reason: null };
  open(turn, {
    id,
    number,
    caller,
    input,
    parameters,
    phase: 'queued',
    phaseEpoch: turn.epoch,
    restarts: 0,
    ...nothingYet,
  });
}

function plan(turn: Turn, event: CoordinatorEvent & { type: 'decoded' }): void {
  inPhase(turn, event.jobId, 'decoding', (job) => {
    const { image, chunkPixelsMax } = event;
    const limits = { chunkPixelsMax, chunksPerJobMax: turn.limits.chunksPerJobMax };
    const grid = planChunks(image.widthPixels, image.heightPixels, limits);
    open(turn, { ...job.metadata, phase: 'mapping', image, grid });
  });
}

/** Begins a phase under this epoch. The phase is durable before any of its tasks is produced. */
function open(turn: Turn, metadata: JobMetadata): void {
  const stored = { ...metadata, phaseEpoch: turn.epoch, restarts: 0 };
  put(turn, jobAtStart(stored));
  turn.effects.push({ type: 'store', job: stored });
}

/** Opens the barrier when the record of the last chunk is in. */
function passBarrier(turn: Turn, job: Job): void {
  const phase = phaseOf(job);
  if (phase !== 'reducing' && phase !== 'stitching') return;
  const type = phase === 'reducing' ? 'reduce' : 'stitch';
  turn.effects.push({ type, job: job.metadata, outputs: outputsOf(job) });
}

function cancel(turn: Turn, jobId: string): void {
  const job = turn.jobs[jobId];
  if (job === undefined || isOver(job)) return;
  const phase = phaseOf(job);
  end(turn, job, { ...job.metadata, phase: 'cancelled' });
  if (phase === 'decoding' || phase === 'reducing' || phase === 'stitching')
    turn.effects.push({ type: 'abandon', jobId });
}

function fail(turn: Turn, job: Job, reason: string): void {
  end(turn, job, { ...job.metadata, phase: 'failed', reason: boundedReason(reason) });
}

function end(turn: Turn, job: Job, metadata: JobMetadata): void {
  for (const [chunk, { attempt }] of issuesOf(job)) disarm(turn, job, chunk, attempt);
  open(turn, metadata);
  armRetention(turn, metadata.id);
}

/** The job's retention is over. */
function forget(turn: Turn, jobId: string): void {
  const { [jobId]: job, ...others } = turn.jobs;
  if (job === undefined || !isOver(job)) return;
  turn.jobs = others;
  turn.effects.push({ type: 'forget', jobId });
}

// ── Chunks

/**
 * Handles a result, which may be late or repeated. `refusals.ts` decides which results change
 * nothing.
 */
function handleResult(turn: Turn, record: ResultRecord): void {
  const { partition, partitionEpoch, outcome, chunk } = record;
  const why = refusalOf(turn, record);
  const replaced = why === 'newer_coordinator_epoch' || why === 'older_partition_epoch';
  if (!replaced && turn.partitionEpochs[partition] !== partitionEpoch)
    turn.partitionEpochs = { ...turn.partitionEpochs, [partition]: partitionEpoch };
  if (why !== undefined) {
    turn.effects.push({ type: 'refuse', record, why });
    return why === 'newer_coordinator_epoch' ? stepDown(turn, record.coordinatorEpoch) : undefined;
  }
  const job = turn.jobs[record.jobId];
  if (job === undefined) return;
  const issue = job.issues[chunk] ?? undefined;
  if (outcome.kind === 'failed') return issue && failedOnce(turn, job, chunk, issue, outcome.reason);
  if (issue !== undefined) disarm(turn, job, chunk, issue.attempt);
  const { digest, output } = outcome;
  const after = withContribution(job, chunk, { digest, output });
  put(turn, after);
  passBarrier(turn, after);
}

/** Repeats a failed chunk. A poison chunk fails its job after `failuresPerChunkMax` failures. */
function failedOnce(turn: Turn, job: Job, chunk: number, issue: Issue, reason: string): void {
  const failures = issue.failures + 1;
  if (failures >= turn.limits.failuresPerChunkMax) {
    return fail(turn, job, `chunk ${chunk} failed ${failures} times while ${job.metadata.phase}: ${reason}`);
  }
  reissue(turn, job, chunk, { ...issue, failures });
}

/**
 * Handles an attempt that was not answered in time: its leader may be slow, dead or frozen. The
 * next attempt goes to the next partition.
 */
function straggled(turn: Turn, timer: Timer & { kind: 'straggler' }): void {
  const { jobId, chunk, attempt } = timer;
  const job = turn.jobs[jobId];
  const issue = job?.issues[chunk] ?? undefined;
  if (job === undefined || issue?.attempt !== attempt || taskPhaseOf(job) !== timer.phase) return;
  if (attempt >= turn.limits.attemptsPerChunkMax) {
    return fail(turn, job, `chunk ${chunk} was not answered in ${attempt} attempts while ${timer.phase}`);
  }
  reissue(turn, job, chunk, issue);
}

function reissue(turn: Turn, job: Job, chunk: number, issue: Issue): void {
  disarm(turn, job, chunk, issue.attempt);
  issueChunk(turn, job, chunk, issue.attempt + 1, issue.failures);
}

function issueChunk(turn: Turn, job: Job, chunk: number, attempt: number, failures: number): void {
  const { limits, epoch } = turn;
  const { metadata } = job;
  const issue: Issue = { attempt, coordinatorEpoch: epoch, failures };
  put(turn, withIssue(job, chunk, issue));
  const task = taskOf(metadata, chunk, issue);
  const partition = (metadata.number + chunk + attempt - 1) % limits.taskPartitions;
  const afterMs = Math.min(
    limits.stragglerTimeoutMaxMs,
    limits.stragglerTimeoutMs * 2 ** Math.min(attempt - 1, 30),
  );
  turn.effects.push({ type: 'produce', partition, task });
  turn.effects.push({ type: 'arm', timer: stragglerOf(job, chunk, attempt), afterMs });
}

// ── All jobs

/** Assigns free places to jobs and tasks, caller by caller. */
function schedule(turn: Turn): void {
  for (let job = nextJob(turn); job !== undefined; job = nextJob(turn)) {
    const last = Math.max(0, ...Object.values(turn.jobs).map(({ metadata }) => metadata.turn ?? 0));
    const metadata: JobMetadata = { ...job.metadata, phase: 'decoding', turn: last + 1 };
    open(turn, metadata);
    turn.effects.push({ type: 'decode', job: turn.jobs[metadata.id]?.metadata ?? metadata });
  }
  for (let next = nextChunk(turn); next !== undefined; next = nextChunk(turn))
    issueChunk(turn, next.job, next.chunk, 1, 0);
}

/**
 * Continues every job where the records leave it. Unanswered tasks of the former coordinator are
 * issued again: leaders skip the old ones as soon as they have seen one of this epoch.
 */
function resume(turn: Turn): void {
  for (const job of jobsOf(turn)) {
    const phase = phaseOf(job);
    if (phase === 'decoding' || phase === 'reducing' || phase === 'stitching') {
      resumeOwnWork(turn, job, phase);
      continue;
    }
    turn.effects.push({ type: 'store', job: job.metadata });
    if (isOver(job)) armRetention(turn, job.metadata.id);
    for (const [chunk, issue] of issuesOf(job))
      reissue(turn, turn.jobs[job.metadata.id] ?? job, chunk, issue);
  }
}

/**
 * Repeats work that the former coordinator may have died of. The number of restarts is durable
 * before the work begins again.
 */
function resumeOwnWork(turn: Turn, job: Job, phase: 'decoding' | 'reducing' | 'stitching'): void {
  const restarts = job.metadata.restarts + 1;
  if (restarts > turn.limits.restartsPerPhaseMax) {
    return fail(turn, job, `its coordinator ended ${restarts} times while ${phase}`);
  }
  const again = { ...job, metadata: { ...job.metadata, restarts } };
  put(turn, again);
  turn.effects.push({ type: 'store', job: again.metadata });
  if (phase === 'decoding') turn.effects.push({ type: 'decode', job: again.metadata });
  else passBarrier(turn, again);
}

function stepDown(turn: Turn, epoch: number): void {
  turn.deposed = true;
  turn.effects.push({ type: 'stepDown', epoch });
}

function inPhase(turn: Turn, jobId: string, phase: string, act: (job: Job) => void): void {
  const job = turn.jobs[jobId];
  if (job !== undefined && phaseOf(job) === phase) act(job);
}

function put(turn: Turn, job: Job): void {
  turn.jobs = { ...turn.jobs, [job.metadata.id]: job };
}

function disarm(turn: Turn, job: Job, chunk: number, attempt: number): void {
  turn.effects.push({ type: 'disarm', timer: stragglerOf(job, chunk, attempt) });
}

function stragglerOf(job: Job, chunk: number, attempt: number): Timer {
  const phase = taskPhaseOf(job);
  if (phase === undefined) throw new Error(`job ${job.metadata.id} has no chunk ${chunk}`);
  return { kind: 'straggler', jobId: job.metadata.id, phase, chunk, attempt };
}

function armRetention(turn: Turn, jobId: string): void {
  turn.effects.push({ type: 'arm', timer: { kind: 'retention', jobId }, afterMs: turn.limits.retentionMs });
}
