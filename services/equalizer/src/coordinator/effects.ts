/** What a coordinator's effects become: documents in ZooKeeper, tasks on Kafka, work in threads, files that go. */
import { setTimeout as delay } from 'node:timers/promises';
import type { JobMetadata, ResultRecord, TaskRecord } from '@thermomesh/contracts';
import type { CoordinatorEffect, CoordinatorEvent, Refusal } from '@thermomesh/mapreduce';
import { codeOf, type CrashHook, type Log } from '@thermomesh/runtime';
import type { FencedWrites } from '../adapters/fenced-writes.ts';
import type { Records } from '../adapters/kafka-records.ts';
import type { JobStore } from '../adapters/zookeeper-job-store.ts';
import type { BlobStore } from '../core/blob-store.ts';
import { blobsOf, isOver, type Submission } from '../core/jobs.ts';
import { reasonOf } from '../core/reasons.ts';
import { workPrefix } from '../core/work.ts';
import type { EqualizerMetrics } from '../metrics.ts';
import type { MarkKeeper } from './marks.ts';
import type { OwnWork } from './own-work.ts';
import type { Retention } from './retention.ts';
import type { EffectHandlers } from './term.ts';

export interface EffectOptions {
  epoch: number;
  store: JobStore;
  writes: FencedWrites;
  records: Records;
  blobs: BlobStore;
  work: OwnWork;
  metrics: EqualizerMetrics;
  log: Log;
  crash: CrashHook;
  /** Aborted when the term is over. */
  signal: AbortSignal;
  /** What was accepted, by job. */
  submissions: Map<string, Submission>;
  marks: Pick<MarkKeeper, 'note'>;
  retention: Pick<Retention, 'endedAtMs' | 'forgotten'>;
  /** A task has that offset in its partition. */
  onSent: (partition: number, offset: number) => void;
  /** Where answers of the coordinator's own work go. */
  feed: (event: CoordinatorEvent) => Promise<void>;
}

/** Tries at the coordinator's own work that the disk or a dying thread ends. */
const ownWorkTriesMax = 5;
const ownWorkPauseMs = 500;

const phases = { decode: 'decoding', reduce: 'reducing', stitch: 'stitching' } as const;
type WorkEffect = Extract<CoordinatorEffect, { type: 'decode' | 'reduce' | 'stitch' }>;

export function createEffects(options: EffectOptions): EffectHandlers {
  return new Effects(options);
}

class Effects implements EffectHandlers {
  readonly #options: EffectOptions;
  readonly #underWay = new Map<string, AbortController>();

  constructor(options: EffectOptions) {
    this.#options = options;
  }

  async store({ job }: { job: JobMetadata }): Promise<void> {
    const { store, metrics, log, crash, submissions, marks, retention, epoch } = this.#options;
    const submission = submissions.get(job.id);
    if (submission === undefined) throw new Error(`job ${job.id} was never accepted`);
    marks.note(job);
    const end = isOver(job.phase) ? { endedAtMs: retention.endedAtMs(job.id) } : {};
    await store.store({ submission, metadata: job, ...end });
    metrics.stores.inc();
    crash('equalizer.after-store');
    log.info({ event: 'job.stored', job: job.id, phase: job.phase, epoch, reason: job.reason ?? undefined });
    if (!isOver(job.phase)) return;
    metrics.jobsEnded.inc({ phase: job.phase });
    await this.#tidyUp(job.id, workPrefix(job.id), submission.input);
  }

  async produce({ partition, task }: { partition: number; task: TaskRecord }): Promise<void> {
    const { writes, records, metrics, log, crash, signal, onSent } = this.#options;
    await writes.mayAct();
    crash('equalizer.before-produce');
    onSent(partition, await records.sendTask(partition, task, signal));
    metrics.tasksProduced.inc({ phase: task.phase });
    if (task.attempt === 1) return;
    metrics.tasksReissued.inc({ phase: task.phase });
    const { jobId: job, phase, chunk, attempt, failures } = task;
    log.debug({ event: 'job.chunk_reissued', job, phase, chunk, attempt, failures, partition });
  }

  begin(effect: WorkEffect): void {
    const { signal, feed } = this.#options;
    const { id } = effect.job;
    const own = new AbortController();
    this.#underWay.set(id, own);
    void this.#answer(effect, AbortSignal.any([own.signal, signal])).then(async (event) => {
      if (this.#underWay.get(id) === own) this.#underWay.delete(id);
      if (event !== undefined) await feed(event);
    });
  }

  abandon(jobId: string): void {
    this.#underWay.get(jobId)?.abort();
    this.#underWay.delete(jobId);
  }

  async forget(jobId: string): Promise<void> {
    const { store, submissions, retention, log } = this.#options;
    await store.remove(jobId);
    submissions.delete(jobId);
    retention.forgotten(jobId);
    await this.#tidyUp(jobId, blobsOf(jobId).prefix);
    log.info({ event: 'job.forgotten', job: jobId });
  }

  refuse({ record, why }: { record: ResultRecord; why: Refusal }): void {
    const { metrics, log } = this.#options;
    metrics.refusals.inc({ why });
    const { jobId: job, phase, chunk, attempt, coordinatorEpoch, partition, partitionEpoch } = record;
    const detail = { job, phase, chunk, attempt, coordinatorEpoch, partition, partitionEpoch, why };
    // Two nodes that do not compute the same are a fault of ours; the rest is the weather.
    if (why === 'differs') log.error({ event: 'result.refused', ...detail });
    else log.debug({ event: 'result.refused', ...detail });
  }

  /** The answer of work on a job; undefined if nobody waits for one any more. Never rejects. */
  async #answer(effect: WorkEffect, end: AbortSignal): Promise<CoordinatorEvent | undefined> {
    const { metrics, log } = this.#options;
    const { type: what, job } = effect;
    for (let tries = 1; ; tries++) {
      const startedAtMs = performance.now();
      try {
        const event = await this.#perform(effect, end);
        metrics.ownWork.observe({ what }, performance.now() - startedAtMs);
        return event;
      } catch (error) {
        if (end.aborted) return undefined;
        const code = codeOf(error) ?? 'unknown';
        metrics.ownWorkFailed.inc({ what, code });
        log.warn({ event: 'job.work_failed', what, job: job.id, code, tries, err: error });
        if (!isRetriable(error) || tries >= ownWorkTriesMax)
          return { type: 'workFailed', jobId: job.id, phase: phases[what], reason: reasonOf(error) };
        await delay(ownWorkPauseMs * tries, undefined, { signal: end }).catch(() => undefined);
        if (end.aborted) return undefined;
      }
    }
  }

  async #perform(effect: WorkEffect, end: AbortSignal): Promise<CoordinatorEvent> {
    const { work, epoch } = this.#options;
    const { job } = effect;
    const jobId = job.id;
    switch (effect.type) {
      case 'decode':
        return { type: 'decoded', jobId, ...(await work.decode(job, epoch, end)) };
      case 'reduce':
        return { type: 'reduced', jobId, table: await work.reduce(job, effect.outputs, epoch, end) };
      case 'stitch':
        return { type: 'stitched', jobId, result: await work.stitch(job, epoch, end) };
    }
  }

  /** What is left over goes with the job, or is found by the janitor. */
  async #tidyUp(jobId: string, prefix: string, upload?: string): Promise<void> {
    const { blobs, log } = this.#options;
    try {
      await blobs.removeAll(prefix);
      if (upload !== undefined) await blobs.remove(upload);
    } catch (error) {
      log.warn({ event: 'job.files_left', job: jobId, code: codeOf(error), err: error });
    }
  }
}

function isRetriable(error: unknown): boolean {
  return typeof error === 'object' && error !== null && 'retriable' in error && error.retriable === true;
}
