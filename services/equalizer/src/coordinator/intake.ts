/**
 * The intake of a coordinator: jobs that any node has accepted, and requests to cancel jobs. Both
 * are found in ZooKeeper.
 */
import type { CoordinatorEvent, CoordinatorState } from '@thermomesh/mapreduce';
import { codeOf, createSequencer, type Log } from '@thermomesh/runtime';
import type { Submission } from '../core/jobs.ts';
import type { Following, JobStore, StoredJob } from '../core/ports.ts';

export interface IntakeOptions {
  store: JobStore;
  submissions: Map<string, Submission>;
  state: () => CoordinatorState;
  feed: (event: CoordinatorEvent) => Promise<void>;
  /** Receives the error after which the intake cannot continue. */
  onFailed: (error: unknown) => void;
  log: Log;
  signal: AbortSignal;
}

/** Follows both folders of ZooKeeper until it is closed. */
export async function followIntake(options: IntakeOptions): Promise<Following> {
  const { store, submissions, state, feed, onFailed, log, signal } = options;
  /** Handles one list after the other, so that jobs arrive in the order of their acceptance. */
  const inTurn = createSequencer();
  /** Jobs that cannot be read; each is reported once. */
  let unreadable = new Set<string>();

  async function submit({ id, number, document: { submission } }: StoredJob): Promise<void> {
    submissions.set(id, submission);
    const { caller, input, parameters } = submission;
    await feed({ type: 'submitted', id, number, caller, input, parameters });
  }
  async function takeUpJobs(ids: readonly string[]): Promise<void> {
    unreadable = new Set(ids.filter((id) => unreadable.has(id)));
    const unknown = ids.filter((id) => !submissions.has(id) && !unreadable.has(id));
    const read = await Promise.all(unknown.map(async (id) => ({ id, job: await store.read(id) })));
    for (const { id, job } of read) if (job === undefined) unreadable.add(id);
    const jobs = read.flatMap(({ job }) => (job === undefined ? [] : [job]));
    for (const job of jobs.sort((a, b) => a.number - b.number)) {
      log.info({ event: 'job.taken_up', jobId: job.id, caller: job.document.submission.caller });
      await submit(job);
    }
  }
  async function cancelJobs(ids: readonly string[]): Promise<void> {
    for (const id of ids) {
      if (state().jobs[id] === undefined) {
        // The job was accepted just now, and the list of jobs has not arrived yet.
        const job = await store.read(id);
        if (job !== undefined && !submissions.has(id)) await submit(job);
      }
      log.info({ event: 'job.cancellation_asked', jobId: id });
      await feed({ type: 'cancelled', jobId: id });
      await store.endCancellation(id);
    }
  }
  function next(handle: () => Promise<void>): void {
    void inTurn(async () => {
      if (signal.aborted) return;
      try {
        await handle();
      } catch (err) {
        if (signal.aborted) return;
        log.warn({ event: 'coordinator.intake_failed', code: codeOf(err), err });
        onFailed(err);
      }
    });
  }
  const watches = await Promise.all([
    store.watchJobs((ids) => next(async () => takeUpJobs(ids))),
    store.watchCancellations((ids) => next(async () => cancelJobs(ids))),
  ]);
  return { close: async () => void (await Promise.all(watches.map(async (watch) => watch.close()))) };
}
