/**
 * How long jobs that are over are kept. The retention starts at the end of a job and does not
 * restart with a new coordinator. When there are too many jobs, the caller with most of them loses
 * its oldest ones early, so that one caller's jobs never displace the results of another.
 */
import { isOver, type CoordinatorState, type Job } from '@thermomesh/mapreduce';
import { isOver as hasEnded } from '../core/jobs.ts';
import type { StoredJob } from '../core/ports.ts';
import type { Timers } from './timers.ts';

export interface RetentionOptions {
  /** Jobs that are kept, over or not. */
  rememberedMax: number;
  /** The jobs in ZooKeeper at the start of the term. */
  recovered: readonly StoredJob[];
  nowMs?: () => number;
}

export interface Retention {
  /** When the job ended, in Unix ms; the first call for a job sets it to now. */
  endedAtMs(jobId: string): number;
  /** Wraps timers: retention timers run from the end of their job. */
  from(timers: Timers): Timers;
  /** Jobs to forget before their retention ends; each is returned once. */
  tooMany(state: CoordinatorState): string[];
  /** Call when a job was forgotten. */
  forgotten(jobId: string): void;
}

export function createRetention(options: RetentionOptions): Retention {
  return new RetentionFromEnds(options);
}

class RetentionFromEnds implements Retention {
  readonly #rememberedMax: number;
  readonly #nowMs: () => number;
  readonly #endedAtMs = new Map<string, number>();
  /** Returned by `tooMany` and not forgotten yet. */
  readonly #leaving = new Set<string>();

  constructor({ rememberedMax, recovered, nowMs = Date.now }: RetentionOptions) {
    this.#rememberedMax = rememberedMax;
    this.#nowMs = nowMs;
    for (const { id, writtenAtMs, document } of recovered) {
      const { metadata, endedAtMs } = document;
      // Documents written by older versions have no end time; use their last write instead.
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
    let excess = all.length - this.#leaving.size - this.#rememberedMax;
    if (excess <= 0) return [];
    const over = all
      .filter((job) => isOver(job) && !this.#leaving.has(job.metadata.id))
      .sort((a, b) => this.endedAtMs(a.metadata.id) - this.endedAtMs(b.metadata.id));
    const named: string[] = [];
    for (; excess > 0 && over.length > 0; excess--) {
      const [job] = over.splice(oldestOfMost(over), 1);
      if (job !== undefined) named.push(job.metadata.id);
    }
    for (const id of named) this.#leaving.add(id);
    return named;
  }

  forgotten(jobId: string): void {
    this.#endedAtMs.delete(jobId);
    this.#leaving.delete(jobId);
  }

  /** Clocks differ: a job with an end in the future is kept for the whole retention, not longer. */
  #leftMs(jobId: string, retentionMs: number): number {
    const sinceMs = Math.max(0, this.#nowMs() - this.endedAtMs(jobId));
    return Math.max(0, retentionMs - sinceMs);
  }
}

/** Index of the first job of the caller that has most of them. */
function oldestOfMost(jobs: readonly Job[]): number {
  const counts = new Map<string, number>();
  for (const { metadata } of jobs) counts.set(metadata.caller, (counts.get(metadata.caller) ?? 0) + 1);
  const most = Math.max(...counts.values());
  return jobs.findIndex(({ metadata }) => counts.get(metadata.caller) === most);
}
