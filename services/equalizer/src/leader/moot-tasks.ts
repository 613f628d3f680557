/**
 * Tasks of jobs that are over. A cancelled job, a straggler's repetition, a backlog that is read again: such tasks still lie in the
 * topic when the job's files are gone. That is no failure of a chunk, and nobody waits for its answer; a spool that is lost while its
 * job runs is one.
 */
import type { TaskRecord } from '@thermomesh/contracts';
import type { Outcome } from '@thermomesh/mapreduce';
import { codeOf, type Log } from '@thermomesh/runtime';
import type { BlobStore } from '../core/blob-store.ts';
import type { ChunkWork } from './chunk-work.ts';

/** Nothing is to be answered. */
export const moot = Symbol('moot');

/** What came of the task. Never rejects. */
export type TaskWork = (task: TaskRecord, signal: AbortSignal) => Promise<Outcome | typeof moot>;

export interface MootTaskOptions {
  work: ChunkWork;
  blobs: Pick<BlobStore, 'exists'>;
  /** Whether the job has ended or is forgotten, by what was written before the call. */
  isOver: (jobId: string) => Promise<boolean>;
  log: Log;
}

/** As `work`, but for tasks that are moot. Whoever works on a living job pays one look at the folder, and asks ZooKeeper nothing. */
export function unlessMoot({ work, blobs, isOver, log }: MootTaskOptions): TaskWork {
  async function isMoot({ jobId }: TaskRecord): Promise<boolean> {
    try {
      return await isOver(jobId);
    } catch (error) {
      // Nobody can tell now: it is done or answered like any other.
      log.debug({ event: 'task.job_not_read', job: jobId, code: codeOf(error) });
      return false;
    }
  }
  return async (task, signal) => {
    if (!(await hasFiles(blobs, task)) && (await isMoot(task))) return moot;
    const outcome = await work(task, signal);
    // They may have gone meanwhile.
    if (outcome.kind === 'failed' && !signal.aborted && (await isMoot(task))) return moot;
    return outcome;
  };
}

/** Whether what the task reads is there; a store that cannot say it leaves that to the work. */
async function hasFiles(blobs: Pick<BlobStore, 'exists'>, { image, table }: TaskRecord): Promise<boolean> {
  const keys = table === null ? [image.key] : [image.key, table];
  try {
    return (await Promise.all(keys.map(async (key) => blobs.exists(key)))).every(Boolean);
  } catch {
    return true;
  }
}
