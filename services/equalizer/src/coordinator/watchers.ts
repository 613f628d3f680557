/** What others see of jobs under way: counts of chunks in ZooKeeper, at most every so often, and gauges. Never the truth about a job. */
import { imageJobPhases } from '@thermomesh/contracts';
import { phaseOf, progressOf, type CoordinatorState, type Job, type JobPhase } from '@thermomesh/mapreduce';
import { codeOf, type Log } from '@thermomesh/runtime';
import type { JobStore } from '../adapters/zookeeper-job-store.ts';
import { isOver, type JobProgress } from '../core/jobs.ts';
import type { EqualizerMetrics } from '../metrics.ts';

export interface WatchersOptions {
  store: JobStore;
  metrics: EqualizerMetrics;
  log: Log;
  intervalMs?: number;
}

export interface Watchers {
  /** Something may have changed. */
  note(state: CoordinatorState): void;
  close(): void;
}

const intervalDefaultMs = 500;

export function createWatchers(options: WatchersOptions): Watchers {
  const { store, metrics, log, intervalMs = intervalDefaultMs } = options;
  /** As written last, by job. */
  const written = new Map<string, Job>();
  let latest: CoordinatorState | undefined;
  let timer: NodeJS.Timeout | undefined;
  let isClosed = false;

  async function write(): Promise<void> {
    if (latest === undefined) return;
    const jobs = Object.values(latest.jobs);
    const counts = new Map<JobPhase, number>(imageJobPhases.map((phase) => [phase, 0]));
    for (const job of jobs) counts.set(phaseOf(job), (counts.get(phaseOf(job)) ?? 0) + 1);
    for (const [phase, count] of counts) metrics.jobs.set({ phase }, count);
    for (const id of written.keys()) if (latest.jobs[id] === undefined) written.delete(id);
    const changed = jobs.filter((job) => written.get(job.metadata.id) !== job && !isOver(phaseOf(job)));
    await Promise.all(
      changed.map(async (job) => {
        written.set(job.metadata.id, job);
        await store.saveProgress(job.metadata.id, progressFor(job));
      }),
    );
  }
  function due(): void {
    write()
      .catch((error: unknown) => {
        // The next change is written anew; a deposed coordinator hears of it elsewhere.
        if (!isClosed) log.debug({ event: 'job.progress_not_written', code: codeOf(error) });
      })
      .finally(() => {
        timer = undefined;
        if (isDirty()) arm();
      });
  }
  function isDirty(): boolean {
    return Object.values(latest?.jobs ?? {}).some(
      (job) => written.get(job.metadata.id) !== job && !isOver(phaseOf(job)),
    );
  }
  function arm(): void {
    if (timer === undefined && !isClosed) timer = setTimeout(due, intervalMs);
  }
  return {
    note(state) {
      latest = state;
      arm();
    },
    close() {
      isClosed = true;
      clearTimeout(timer);
      metrics.jobs.reset();
    },
  };
}

function progressFor(job: Job): JobProgress {
  const { done, of: chunks } = progressOf(job);
  return { phase: phaseOf(job), done, chunks };
}
