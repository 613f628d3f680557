/**
 * Carries out the effects of the coordinator's protocol: documents in ZooKeeper, tasks on Kafka,
 * work in image threads, removal of files.
 */
import type { JobMetadata, ResultRecord, TaskRecord } from '@thermomesh/contracts';
import type { CoordinatorEffect, CoordinatorEvent, Refusal } from '@thermomesh/mapreduce';
import { codeOf, isRetriable, sleep, type CrashHook, type Log } from '@thermomesh/runtime';
import { blobsOf, isOver, type Submission } from '../core/jobs.ts';
import type { BlobStore, FencedWrites, JobStore, Records } from '../core/ports.ts';
import { reasonOf } from '../core/reasons.ts';
import { withRetries } from '../core/retry.ts';
import { workPrefix } from '../core/work.ts';
import type { EqualizerMetrics } from '../metrics.ts';
import type { ReadOffsetKeeper } from './read-offsets.ts';
import type { CoordinatorTasks } from './coordinator-tasks.ts';
import type { Retention } from './retention.ts';
import type { EffectHandlers } from './term.ts';

export interface EffectOptions {
  epoch: number;
  store: JobStore;
  writes: FencedWrites;
  records: Records;
  blobs: BlobStore;
  tasks: CoordinatorTasks;
  metrics: EqualizerMetrics;
  log: Log;
  crash: CrashHook;
  /** Aborts when the term is over. */
  signal: AbortSignal;
  /** The accepted submissions, by job id. */
  submissions: Map<string, Submission>;
  readOffsets: Pick<ReadOffsetKeeper, 'note'>;
  retention: Pick<Retention, 'endedAtMs' | 'forgotten'>;
  /** Receives the offset that a task got in its partition. */
  onSent: (partition: number, offset: number) => void;
  /** Receives the events by which the coordinator's own tasks end. */
  feed: (event: CoordinatorEvent) => Promise<void>;
}

/** Attempts at a task of the coordinator that fails for a retriable reason, such as a full disk. */
const triesMax = 5;
const retryPauseMs = 500;

const phases = { decode: 'decoding', reduce: 'reducing', stitch: 'stitching' } as const;
type TaskEffect = Extract<CoordinatorEffect, { type: 'decode' | 'reduce' | 'stitch' }>;

/** The handlers of one term. */
export function createEffects(options: EffectOptions): EffectHandlers {
  return new Effects(options);
}

class Effects implements EffectHandlers {
  readonly #options: EffectOptions;
  readonly #running = new Map<string, AbortController>();

  constructor(options: EffectOptions) {
    this.#options = options;
  }

  async store({ job }: { job: JobMetadata }): Promise<void> {
    const { store, metrics, log, crash, submissions, readOffsets, retention, epoch } = this.#options;
    const submission = submissions.get(job.id);
    if (submission === undefined) throw new Error(`job ${job.id} has no submission`);
    readOffsets.note(job);
    const end = isOver(job.phase) ? { endedAtMs: retention.endedAtMs(job.id) } : {};
    await store.store({ submission, metadata: job, ...end });
    metrics.stores.inc();
    crash('equalizer.after-store');
    log.info({
      event: 'job.stored',
      jobId: job.id,
      phase: job.phase,
      epoch,
      reason: job.reason ?? undefined,
    });
    if (!isOver(job.phase)) return;
    metrics.jobsEnded.inc({ phase: job.phase });
    await this.#removeFiles(job.id, workPrefix(job.id), submission.input);
  }

  async produce({ partition, task }: { partition: number; task: TaskRecord }): Promise<void> {
    const { writes, records, metrics, log, crash, signal, onSent } = this.#options;
    await writes.mayAct();
    crash('equalizer.before-produce');
    onSent(partition, await records.sendTask(partition, task, signal));
    metrics.tasksProduced.inc({ phase: task.phase });
    if (task.attempt === 1) return;
    metrics.tasksReissued.inc({ phase: task.phase });
    const { jobId, phase, chunk, attempt, failures } = task;
    log.debug({ event: 'job.chunk_reissued', jobId, phase, chunk, attempt, failures, partition });
  }

  begin(effect: TaskEffect): void {
    const { signal, feed } = this.#options;
    const { id } = effect.job;
    const abandoned = new AbortController();
    this.#running.set(id, abandoned);
    void this.#answer(effect, AbortSignal.any([abandoned.signal, signal])).then(async (event) => {
      if (this.#running.get(id) === abandoned) this.#running.delete(id);
      if (event !== undefined) await feed(event);
    });
  }

  abandon(jobId: string): void {
    this.#running.get(jobId)?.abort();
    this.#running.delete(jobId);
  }

  async forget(jobId: string): Promise<void> {
    const { store, submissions, retention, log } = this.#options;
    await store.remove(jobId);
    submissions.delete(jobId);
    retention.forgotten(jobId);
    await this.#removeFiles(jobId, blobsOf(jobId).prefix);
    log.info({ event: 'job.forgotten', jobId });
  }

  refuse({ record, why }: { record: ResultRecord; why: Refusal }): void {
    const { metrics, log } = this.#options;
    metrics.refusals.inc({ why });
    const { jobId, phase, chunk, attempt, coordinatorEpoch, partition, partitionEpoch } = record;
    const detail = { jobId, phase, chunk, attempt, coordinatorEpoch, partition, partitionEpoch, why };
    // A mismatch between two nodes is a bug; every other refusal is expected.
    if (why === 'differs') log.error({ event: 'result.refused', ...detail });
    else log.debug({ event: 'result.refused', ...detail });
  }

  /**
   * The event that ends the coordinator's own task for a job; undefined if the job no longer waits
   * for it. Never rejects.
   */
  async #answer(effect: TaskEffect, signal: AbortSignal): Promise<CoordinatorEvent | undefined> {
    const { metrics, log } = this.#options;
    const { type: what, job } = effect;
    let startedAtMs = 0;
    const attempt = async (): Promise<CoordinatorEvent> => {
      startedAtMs = performance.now();
      return this.#perform(effect, signal);
    };
    try {
      const event = await withRetries(attempt, {
        triesMax,
        mayRetry: isRetriable,
        onError: (err, tries) => {
          const code = codeOf(err) ?? 'unknown';
          metrics.coordinatorTasksFailed.inc({ what, code });
          log.warn({ event: 'job.work_failed', what, jobId: job.id, code, tries, err });
        },
        pause: async (tries) => sleep(retryPauseMs * tries, signal),
        signal,
      });
      metrics.coordinatorTaskMs.observe({ what }, performance.now() - startedAtMs);
      return event;
    } catch (error) {
      if (signal.aborted) return undefined;
      return { type: 'workFailed', jobId: job.id, phase: phases[what], reason: reasonOf(error) };
    }
  }

  async #perform(effect: TaskEffect, end: AbortSignal): Promise<CoordinatorEvent> {
    const { tasks, epoch } = this.#options;
    const { job } = effect;
    const jobId = job.id;
    switch (effect.type) {
      case 'decode':
        return { type: 'decoded', jobId, ...(await tasks.decode(job, epoch, end)) };
      case 'reduce':
        return { type: 'reduced', jobId, table: await tasks.reduce(job, effect.outputs, epoch, end) };
      case 'stitch':
        return { type: 'stitched', jobId, result: await tasks.stitch(job, epoch, end) };
    }
  }

  /** Removes files. What cannot be removed now goes with the job, or the janitor removes it. */
  async #removeFiles(jobId: string, prefix: string, upload?: string): Promise<void> {
    const { blobs, log } = this.#options;
    try {
      await blobs.removeAll(prefix);
      if (upload !== undefined) await blobs.remove(upload);
    } catch (err) {
      log.warn({ event: 'job.files_left', jobId, code: codeOf(err), err });
    }
  }
}
