/**
 * Removes files without a job: uploads that did not become a job, and files of forgotten jobs that
 * a coordinator left behind when it died.
 */
import { codeOf, type Log } from '@thermomesh/runtime';
import { isBlobName } from './core/blob-keys.ts';
import type { BlobStore, Jobs } from './core/ports.ts';

export interface JanitorOptions {
  blobs: Pick<BlobStore, 'listJobs' | 'removeAll'>;
  jobs: Pick<Jobs, 'read'>;
  /**
   * Blobs without a job are removed once their last write is older than this. Must be longer than
   * an upload and its check take.
   */
  orphanAgeMs: number;
  /** Time between two sweeps. */
  intervalMs: number;
  log: Log;
  /** Called after the files of one job were removed. */
  onRemoved?: () => void;
}

export interface Janitor {
  /** Starts to sweep; the first sweep is one interval later. */
  start(): void;
  /** Sweeps once. @returns the ids whose files were removed */
  sweep(): Promise<string[]>;
  /** Waits for the sweep in progress. Idempotent. */
  stop(): Promise<void>;
}

/** What the janitor does now. A stopped janitor may still finish its last sweep. */
type State =
  | { name: 'latent' }
  | { name: 'waiting'; timer: NodeJS.Timeout }
  | { name: 'sweeping'; sweep: Promise<void> }
  | { name: 'stopped'; lastSweep: Promise<void> };

/** Creates a janitor. Every node may run one, because removing files twice does no harm. */
export function createJanitor(options: JanitorOptions): Janitor {
  const { blobs, jobs, orphanAgeMs, intervalMs, log } = options;
  let state: State = { name: 'latent' };

  async function isOrphan(id: string): Promise<boolean> {
    try {
      return (await jobs.read(id)) === undefined;
    } catch (error) {
      // The job exists, although it cannot be read; an operator has to look at it.
      if (codeOf(error) === 'jobs.damaged') return false;
      throw error;
    }
  }

  async function sweep(): Promise<string[]> {
    const removed: string[] = [];
    for (const { id, ageMs } of await blobs.listJobs()) {
      if (state.name === 'stopped') break;
      if (ageMs < orphanAgeMs || !isBlobName(id) || !(await isOrphan(id))) continue;
      await blobs.removeAll(`jobs/${id}/`);
      removed.push(id);
      options.onRemoved?.();
      log.info({ event: 'blobs.orphan_removed', jobId: id, ageMs });
    }
    return removed;
  }

  /** Sweeps and schedules the next sweep; an error is only logged. */
  async function sweepAndArm(): Promise<void> {
    try {
      await sweep();
    } catch (err) {
      log.warn({ event: 'blobs.sweep_failed', code: codeOf(err), err });
    }
    arm();
  }

  function arm(): void {
    if (state.name === 'stopped') return;
    const timer = setTimeout(() => {
      state = { name: 'sweeping', sweep: sweepAndArm() };
    }, intervalMs);
    timer.unref();
    state = { name: 'waiting', timer };
  }

  /** Stops the janitor. @returns the sweep in progress, if there is one */
  function stop(): Promise<void> {
    switch (state.name) {
      case 'latent':
        return Promise.resolve();
      case 'waiting':
        clearTimeout(state.timer);
        return Promise.resolve();
      case 'sweeping':
        return state.sweep;
      case 'stopped':
        return state.lastSweep;
    }
  }

  return {
    start: arm,
    sweep,
    async stop() {
      const lastSweep = stop();
      state = { name: 'stopped', lastSweep };
      await lastSweep;
    },
  };
}
