/**
 * How long jobs that are over are remembered: so long from their end, whoever coordinates meanwhile; less long when there are too many,
 * and then those of whoever has the most of them, so that nobody's jobs push out the results of others.
 */
import { isOver, type CoordinatorState, type Job } from '@thermomesh/mapreduce';
import type { StoredJob } from '../adapters/zookeeper-job-store.ts';
import { isOver as hasEnded } from '../core/jobs.ts';
import type { Timers } from './timers.ts';

export interface RetentionOptions {
  /** Jobs that are remembered, over or not. */
  rememberedMax: number;
  /** As they lay there at the beginning of the term. */
  recovered: readonly StoredJob[];
  nowMs?: () => number;
}

export interface Retention {
  /** When the job ended, in Unix ms: now, if that is asked for the first time. */
  endedAtMs(jobId: string): number;
  /** Timers in which a job's retention has begun with its end. */
  from(timers: Timers): Timers;
  /** Jobs that are to be forgotten before their time; each is named once. */
  tooMany(state: CoordinatorState): string[];
  forgotten(jobId: string): void;
}

export function createRetention(options: RetentionOptions): Retention {
  return new EndsOfJobs(options);
}

class EndsOfJobs implements Retention {
  readonly #rememberedMax: number;
  readonly #nowMs: () => number;
  readonly #endedAtMs = new Map<string, number>();
  /** Named as too many, and not forgotten yet. */
  readonly #going = new Set<string>();

  constructor({ rememberedMax, recovered, nowMs = Date.now }: RetentionOptions) {
    this.#rememberedMax = rememberedMax;
    this.#nowMs = nowMs;
    for (const { id, writtenAtMs, document } of recovered) {
      const { metadata, endedAtMs } = document;
      // Without an end there is a document of former times: it was written at its end, or by a coordinator since.
      if (metadata !== null && hasEnded(metadata.phase)) this.#endedAtMs.set(id, endedAtMs ?? writtenAtMs);
    }
  }

  endedAtMs(jobId: string): number {
    const known = this.#endedAtMs.get(jobId);
    if (known !== undefined) return known;
    const now = this.#nowMs();
    this.#endedAtMs.set(jobId, now);
    return now;
  }

  from(timers: Timers): Timers {
    return {
      arm: (timer, afterMs, fire) =>
        timers.arm(timer, timer.kind === 'retention' ? this.#leftMs(timer.jobId, afterMs) : afterMs, fire),
      disarm: (timer) => timers.disarm(timer),
      clear: () => timers.clear(),
    };
  }

  tooMany({ jobs }: CoordinatorState): string[] {
    const all = Object.values(jobs);
    let excess = all.length - this.#going.size - this.#rememberedMax;
    if (excess <= 0) return [];
    const over = all
      .filter((job) => isOver(job) && !this.#going.has(job.metadata.id))
      .sort((a, b) => this.endedAtMs(a.metadata.id) - this.endedAtMs(b.metadata.id));
    const named: string[] = [];
    for (; excess > 0 && over.length > 0; excess--) {
      const [job] = over.splice(oldestOfMost(over), 1);
      if (job !== undefined) named.push(job.metadata.id);
    }
    for (const id of named) this.#going.add(id);
    return named;
  }

  forgotten(jobId: string): void {
    this.#endedAtMs.delete(jobId);
    this.#going.delete(jobId);
  }

  /** Clocks differ: a job that ends in the future is kept its whole time, never longer. */
  #leftMs(jobId: string, retentionMs: number): number {
    const sinceMs = Math.max(0, this.#nowMs() - this.endedAtMs(jobId));
    return Math.max(0, retentionMs - sinceMs);
  }
}

/** The place of the first job whose caller has more of them than any other. */
function oldestOfMost(jobs: readonly Job[]): number {
  const counts = new Map<string, number>();
  for (const { metadata } of jobs) counts.set(metadata.caller, (counts.get(metadata.caller) ?? 0) + 1);
  const most = Math.max(...counts.values());
  return jobs.findIndex(({ metadata }) => counts.get(metadata.caller) === most);
}
