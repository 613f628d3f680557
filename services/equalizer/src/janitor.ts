/** Removes what no job will ever use: uploads that became no job, and what a coordinator that died has left of a forgotten one. */
import { codeOf, messageOf, type Log } from '@thermomesh/runtime';
import { isBlobName, type BlobStore } from './core/blob-store.ts';
import type { Jobs } from './core/jobs.ts';

export interface JanitorOptions {
  blobs: Pick<BlobStore, 'listJobs' | 'removeAll'>;
  jobs: Pick<Jobs, 'read'>;
  /** Blobs without a job that were last written before that go. Longer than an upload and its check may take. */
  orphanAgeMs: number;
  intervalMs: number;
  log: Log;
  /** The files of one job were removed. */
  onRemoved?: () => void;
}

export interface Janitor {
  start(): void;
  /** One look. @returns the ids of the jobs whose files were removed */
  sweep(): Promise<string[]>;
  /** Waits for the look under way. Idempotent. */
  stop(): Promise<void>;
}

/** Every node may run one: removing twice is removing once. Begins one interval after the start. */
export function createJanitor(options: JanitorOptions): Janitor {
  const { blobs, jobs, orphanAgeMs, intervalMs, log } = options;
  let timer: NodeJS.Timeout | undefined;
  let looking: Promise<unknown> = Promise.resolve();
  let stopped = false;

  async function isOrphan(id: string): Promise<boolean> {
    try {
      return (await jobs.read(id)) === undefined;
    } catch (error) {
      // There is a job, though nobody can read it: people look.
      if (codeOf(error) === 'jobs.damaged') return false;
      throw error;
    }
  }

  async function sweep(): Promise<string[]> {
    const removed: string[] = [];
    for (const { id, ageMs } of await blobs.listJobs()) {
      if (stopped) break;
      if (ageMs < orphanAgeMs || !isBlobName(id) || !(await isOrphan(id))) continue;
      await blobs.removeAll(`jobs/${id}/`);
      removed.push(id);
      options.onRemoved?.();
      log.info({ event: 'blobs.orphan_removed', jobId: id, ageMs });
    }
    return removed;
  }

  /** What cannot be looked at now is looked at next time. */
  async function look(): Promise<void> {
    try {
      await sweep();
    } catch (error) {
      log.warn({ event: 'blobs.sweep_failed', code: codeOf(error), reason: messageOf(error) });
    }
    arm();
  }

  function arm(): void {
    if (stopped) return;
    timer = setTimeout(() => {
      looking = look();
    }, intervalMs);
    timer.unref();
  }

  return {
    start: arm,
    sweep,
    async stop() {
      stopped = true;
      clearTimeout(timer);
      await looking;
    },
  };
}
