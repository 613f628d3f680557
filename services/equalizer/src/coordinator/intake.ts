/** What comes to a coordinator from outside: jobs that a node has accepted, and wishes to end them. */
import type { CoordinatorEvent, CoordinatorState } from '@thermomesh/mapreduce';
import { codeOf, type Log } from '@thermomesh/runtime';
import type { Following, JobStore, StoredJob } from '../adapters/zookeeper-job-store.ts';
import type { Submission } from '../core/jobs.ts';

export interface IntakeOptions {
  store: JobStore;
  submissions: Map<string, Submission>;
  state: () => CoordinatorState;
  feed: (event: CoordinatorEvent) => Promise<void>;
  /** It cannot go on. */
  onFailed: (error: unknown) => void;
  log: Log;
  signal: AbortSignal;
}

/** Follows both folders until closed. */
export async function followIntake(options: IntakeOptions): Promise<Following> {
  const { store, submissions, state, feed, onFailed, log, signal } = options;
  /** Looks at one list after the other, so that jobs come in the order of their acceptance. */
  let looking: Promise<void> = Promise.resolve();
  /** Those that cannot be read: told once. */
  let passedOver = new Set<string>();

  async function submit({ id, number, document: { submission } }: StoredJob): Promise<void> {
    submissions.set(id, submission);
    const { caller, input, parameters } = submission;
    await feed({ type: 'submitted', id, number, caller, input, parameters });
  }
  async function lookAtJobs(ids: readonly string[]): Promise<void> {
    passedOver = new Set(ids.filter((id) => passedOver.has(id)));
    const unknown = ids.filter((id) => !submissions.has(id) && !passedOver.has(id));
    const read = await Promise.all(unknown.map(async (id) => ({ id, job: await store.read(id) })));
    for (const { id, job } of read) if (job === undefined) passedOver.add(id);
    const jobs = read.flatMap(({ job }) => (job === undefined ? [] : [job]));
    for (const job of jobs.sort((a, b) => a.number - b.number)) {
      log.info({ event: 'job.taken_up', job: job.id, caller: job.document.submission.caller });
      await submit(job);
    }
  }
  async function lookAtCancellations(ids: readonly string[]): Promise<void> {
    for (const id of ids) {
      if (state().jobs[id] === undefined) {
        // Accepted a moment ago, and the other list is not here yet.
        const job = await store.read(id);
        if (job !== undefined && !submissions.has(id)) await submit(job);
      }
      log.info({ event: 'job.cancellation_asked', job: id });
      await feed({ type: 'cancelled', jobId: id });
      await store.endCancellation(id);
    }
  }
  function next(look: () => Promise<void>): void {
    looking = looking.then(async () => {
      if (signal.aborted) return;
      try {
        await look();
      } catch (error) {
        if (signal.aborted) return;
        log.warn({ event: 'coordinator.intake_failed', code: codeOf(error), err: error });
        onFailed(error);
      }
    });
  }
  const watches = await Promise.all([
    store.watchJobs((ids) => next(async () => lookAtJobs(ids))),
    store.watchCancellations((ids) => next(async () => lookAtCancellations(ids))),
  ]);
  return { close: async () => void (await Promise.all(watches.map(async (watch) => watch.close()))) };
}
