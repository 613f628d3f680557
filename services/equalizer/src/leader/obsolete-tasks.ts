/**
 * Obsolete tasks: those of jobs that are over. After a cancellation, a reissued task or a replayed
 * backlog, the topic still holds tasks whose files are gone. Such a task is not a failure of its
 * chunk, and no coordinator waits for its answer. A spool that is lost while its job runs is a
 * failure.
 */
import type { TaskRecord } from '@thermomesh/contracts';
import type { Outcome } from '@thermomesh/mapreduce';
import { codeOf, type Log } from '@thermomesh/runtime';
import type { BlobStore } from '../core/ports.ts';
import type { ChunkWork } from './chunk-work.ts';

/** The result of an obsolete task: it gets no answer. */
export const obsolete = Symbol('obsolete');

/** Does one task. Never rejects. */
export type TaskWork = (task: TaskRecord, signal: AbortSignal) => Promise<Outcome | typeof obsolete>;

export interface ObsoleteTaskOptions {
  work: ChunkWork;
  blobs: Pick<BlobStore, 'exists'>;
  /** Whether the job is over or forgotten; must see everything written before the call. */
  isOver: (jobId: string) => Promise<boolean>;
  log: Log;
}

/**
 * Wraps `work` so that obsolete tasks are skipped. For a task of an active job the check costs one
 * directory lookup and no ZooKeeper request.
 */
export function unlessObsolete({ work, blobs, isOver, log }: ObsoleteTaskOptions): TaskWork {
  async function isObsolete({ jobId }: TaskRecord): Promise<boolean> {
    try {
      return await isOver(jobId);
    } catch (error) {
      // ZooKeeper does not answer: the task is done and answered like any other.
      log.debug({ event: 'task.job_not_read', jobId, code: codeOf(error) });
      return false;
    }
  }
  return async (task, signal) => {
    if (!(await hasFiles(blobs, task)) && (await isObsolete(task))) return obsolete;
    const outcome = await work(task, signal);
    // The files may have been removed during the work.
    if (outcome.kind === 'failed' && !signal.aborted && (await isObsolete(task))) return obsolete;
    return outcome;
  };
}

/**
 * Whether the files that the task reads exist. If the store fails, the work itself will show it.
 */
async function hasFiles(blobs: Pick<BlobStore, 'exists'>, { image, table }: TaskRecord): Promise<boolean> {
  const keys = table === null ? [image.key] : [image.key, table];
  try {
    return (await Promise.all(keys.map(async (key) => blobs.exists(key)))).every(Boolean);
  } catch {
    return true;
  }
}
