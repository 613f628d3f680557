/**
 * Progress of running jobs for those who watch them: counts of chunks in ZooKeeper, written at most
 * once per interval, and gauges. It is a hint; the job's document decides.
 */
import { imageJobPhases } from '@thermomesh/contracts';
import { phaseOf, progressOf, type CoordinatorState, type Job, type JobPhase } from '@thermomesh/mapreduce';
import { codeOf, type Log } from '@thermomesh/runtime';
import { isOver, type JobProgress } from '../core/jobs.ts';
import type { JobStore } from '../core/ports.ts';
import type { EqualizerMetrics } from '../metrics.ts';

export interface WatchersOptions {
  store: JobStore;
  metrics: EqualizerMetrics;
  log: Log;
  intervalMs?: number;
}

export interface Watchers {
  /** Call after each change of the state. */
  note(state: CoordinatorState): void;
  close(): void;
}

const intervalDefaultMs = 500;

/** What the watchers do now. */
type State =
  { name: 'idle' } | { name: 'waiting'; timer: NodeJS.Timeout } | { name: 'writing' } | { name: 'closed' };

export function createWatchers(options: WatchersOptions): Watchers {
  const { store, metrics, log, intervalMs = intervalDefaultMs } = options;
  /** What was written last, by job id. */
  const written = new Map<string, Job>();
  let latest: CoordinatorState | undefined;
  let state: State = { name: 'idle' };

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
    state = { name: 'writing' };
    write()
      .catch((error: unknown) => {
        // The next change is written again. A deposed coordinator learns of its end from other
        // writes.
        if (state.name !== 'closed') log.debug({ event: 'job.progress_not_written', code: codeOf(error) });
      })
      .finally(() => {
        if (state.name === 'closed') return;
        state = { name: 'idle' };
        if (isDirty()) arm();
      });
  }
  function isDirty(): boolean {
    return Object.values(latest?.jobs ?? {}).some(
      (job) => written.get(job.metadata.id) !== job && !isOver(phaseOf(job)),
    );
  }
  function arm(): void {
    switch (state.name) {
      case 'idle':
        state = { name: 'waiting', timer: setTimeout(due, intervalMs) };
        return;
      case 'waiting':
      case 'writing':
      case 'closed':
        return;
    }
  }
  return {
    note(coordinator) {
      latest = coordinator;
      arm();
    },
    close() {
      if (state.name === 'waiting') clearTimeout(state.timer);
      state = { name: 'closed' };
      metrics.jobs.reset();
    },
  };
}

function progressFor(job: Job): JobProgress {
  const { done, of: chunks } = progressOf(job);
  return { phase: phaseOf(job), done, chunks };
}
