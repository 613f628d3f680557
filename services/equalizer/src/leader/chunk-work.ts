/** What a leader does for one task, in a worker thread: count a chunk, or map it into its place. */
import type { TaskRecord } from '@thermomesh/contracts';
import { decodeHistogram } from '@thermomesh/equalization';
import type { Outcome } from '@thermomesh/mapreduce';
import { codeOf, MeshError, type CrashHook, type Log } from '@thermomesh/runtime';
import { setTimeout as delay } from 'node:timers/promises';
import type { BlobStore } from '../core/blob-store.ts';
import { reasonOf } from '../core/reasons.ts';
import { countsOf, digestOf, histogramBlob, pixelWork, resultSpoolOf } from '../core/work.ts';
import type { EqualizerMetrics } from '../metrics.ts';
import type { ImageWorkers } from '../worker/index.ts';

export interface ChunkWorkOptions {
  blobs: BlobStore;
  workers: ImageWorkers;
  metrics: EqualizerMetrics;
  log: Log;
  crash: CrashHook;
}

/** What came of the task. Never rejects: whatever goes wrong is an outcome with its reason. */
export type ChunkWork = (task: TaskRecord, signal: AbortSignal) => Promise<Outcome>;

/** Codes after which this node tries again itself: nothing is wrong with the chunk. */
const tryAgainCodes: ReadonlySet<string> = new Set(['worker.queue_full', 'image.io', 'blob.io']);
const triesMax = 3;
const retryPauseMs = 250;
/** Tables that are kept: 128 KiB a plane at most. */
const tablesKeptMax = 8;

export function createChunkWork(options: ChunkWorkOptions): ChunkWork {
  const { blobs, workers, metrics, log, crash } = options;
  const tables = new Map<string, Promise<Buffer>>();

  /** Read once for all chunks of a job. */
  async function tableOf(key: string): Promise<Buffer> {
    const known = tables.get(key) ?? blobs.read(key);
    tables.delete(key);
    tables.set(key, known);
    const [oldest] = tables.keys();
    if (tables.size > tablesKeptMax && oldest !== undefined) tables.delete(oldest);
    return known.catch((error: unknown) => {
      tables.delete(key);
      throw error;
    });
  }

  async function map(task: TaskRecord, signal: AbortSignal): Promise<Outcome> {
    const { jobId, chunk, image, rectangle } = task;
    const { plan, shape } = pixelWork(task.parameters, image);
    if (plan === null) return nothingToDo(task, { kind: 'counts', channels: [] });
    const spool = blobs.localPath(image.key);
    const running = workers.run({ kind: 'histogram', spool, shape, plan, rectangle }, signal);
    crash('equalizer.mid-chunk');
    const { counts } = await running;
    const digest = digestOf(counts);
    if (plan.depth === 8) {
      const channels = countsOf(plan, decodeHistogram(plan, counts));
      return { kind: 'done', digest, output: { kind: 'counts', channels } };
    }
    const key = histogramBlob(jobId, chunk, digest);
    await blobs.put(key, counts);
    return { kind: 'done', digest, output: { kind: 'blob', key, bytes: counts.byteLength } };
  }

  async function apply(task: TaskRecord, signal: AbortSignal): Promise<Outcome> {
    const { image, rectangle, table } = task;
    if (table === null) throw new MeshError('equalizer.no_table', 'the task names no table');
    const { plan, shape } = pixelWork(task.parameters, image);
    const key = resultSpoolOf(table);
    if (plan === null) return nothingToDo(task, { kind: 'blob', key, bytes: 0 });
    const tables = await tableOf(table);
    const [spool, result] = [blobs.localPath(image.key), blobs.localPath(key)];
    const running = workers.run({ kind: 'apply', spool, shape, plan, tables, rectangle, result }, signal);
    crash('equalizer.mid-chunk');
    const { bytes } = await running;
    // The pixels are in their place in the shared spool: what decides them is the table and where they lie.
    const digest = digestOf(table, JSON.stringify(rectangle), String(bytes));
    return { kind: 'done', digest, output: { kind: 'blob', key, bytes } };
  }

  return async (task, signal) => {
    const { phase } = task;
    const startedAtMs = performance.now();
    for (let tries = 1; ; tries++) {
      try {
        const outcome = await (phase === 'mapping' ? map(task, signal) : apply(task, signal));
        metrics.chunkMs.observe({ phase }, performance.now() - startedAtMs);
        return outcome;
      } catch (error) {
        const code = codeOf(error) ?? 'unknown';
        if (signal.aborted) return { kind: 'failed', reason: code };
        const { jobId: job, chunk, attempt } = task;
        log.warn({ event: 'chunk.work_failed', job, phase, chunk, attempt, code, tries, err: error });
        if (tries >= triesMax || !tryAgainCodes.has(code)) return { kind: 'failed', reason: reasonOf(error) };
        await delay(retryPauseMs * tries, undefined, { signal }).catch(() => undefined);
      }
    }
  };
}

/** A chunk of a job that is equalized in one piece: it stands for the barrier alone. */
function nothingToDo(task: TaskRecord, output: Extract<Outcome, { kind: 'done' }>['output']): Outcome {
  return { kind: 'done', digest: digestOf(task.phase, String(task.chunk)), output };
}
