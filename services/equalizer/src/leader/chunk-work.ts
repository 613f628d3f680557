/** The work of a leader on one task, in a worker thread: counts a chunk, or maps its pixels. */
import type { TaskRecord } from '@thermomesh/contracts';
import { decodeHistogram } from '@thermomesh/equalization';
import type { Outcome } from '@thermomesh/mapreduce';
import { codeOf, sleep, type CrashHook, type Log } from '@thermomesh/runtime';
import { equalizerError } from '../core/errors.ts';
import type { BlobStore } from '../core/ports.ts';
import { reasonOf } from '../core/reasons.ts';
import { withRetries } from '../core/retry.ts';
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

/** Does one task. Never rejects: an error becomes an outcome with its reason. */
export type ChunkWork = (task: TaskRecord, signal: AbortSignal) => Promise<Outcome>;

/** Errors after which this node tries again itself, because the chunk is not to blame. */
const retriedCodes: ReadonlySet<string> = new Set(['worker.queue_full', 'image.io', 'blob.io']);
const triesMax = 3;
const retryPauseMs = 250;
/** Tables that are kept in memory; each has at most 128 KiB per plane. */
const tablesKeptMax = 8;

export function createChunkWork(options: ChunkWorkOptions): ChunkWork {
  const { blobs, workers, metrics, log, crash } = options;
  const tables = new Map<string, Promise<Buffer>>();

  /** The table of a job; read once for all of its chunks. */
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
    if (table === null) throw equalizerError('equalizer.no_table', 'the task names no table');
    const { plan, shape } = pixelWork(task.parameters, image);
    const key = resultSpoolOf(table);
    if (plan === null) return nothingToDo(task, { kind: 'blob', key, bytes: 0 });
    const tables = await tableOf(table);
    const [spool, result] = [blobs.localPath(image.key), blobs.localPath(key)];
    const running = workers.run({ kind: 'apply', spool, shape, plan, tables, rectangle, result }, signal);
    crash('equalizer.mid-chunk');
    const { bytes } = await running;
    // The pixels are written into the shared spool; the table and the rectangle determine them.
    const digest = digestOf(table, JSON.stringify(rectangle), String(bytes));
    return { kind: 'done', digest, output: { kind: 'blob', key, bytes } };
  }

  return async (task, signal) => {
    const { jobId, phase, chunk, attempt } = task;
    const startedAtMs = performance.now();
    try {
      const outcome = await withRetries(async () => (phase === 'mapping' ? map : apply)(task, signal), {
        triesMax,
        mayRetry: (error) => retriedCodes.has(codeOf(error) ?? ''),
        onError: (err, tries) => {
          const code = codeOf(err) ?? 'unknown';
          log.warn({ event: 'chunk.work_failed', jobId, phase, chunk, attempt, code, tries, err });
        },
        pause: async (tries) => sleep(retryPauseMs * tries, signal),
        signal,
      });
      metrics.chunkMs.observe({ phase }, performance.now() - startedAtMs);
      return outcome;
    } catch (error) {
      return { kind: 'failed', reason: signal.aborted ? (codeOf(error) ?? 'unknown') : reasonOf(error) };
    }
  };
}

/**
 * The outcome for a job that is equalized in one piece: its chunk exists only to pass through the
 * protocol.
 */
function nothingToDo(task: TaskRecord, output: Extract<Outcome, { kind: 'done' }>['output']): Outcome {
  return { kind: 'done', digest: digestOf(task.phase, String(task.chunk)), output };
}
