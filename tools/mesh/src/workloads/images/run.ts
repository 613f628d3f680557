/** Runs one image through the mesh: upload, follow, save. */
import { stat } from 'node:fs/promises';
import type { EqualizeDocument, ImageJob } from '@thermomesh/contracts';
import type { EqualizerClient } from '@thermomesh/equalizer-client';
import { messageOf, type MeshError } from '@thermomesh/runtime';
import { meshError } from '../../errors.ts';
import type { JobKeeper } from '../../mesh/evidence/jobs.ts';

export interface EqualizeOptions {
  client: EqualizerClient;
  file: string;
  fields: Readonly<Record<string, string>>;
  out: string;
  /** Receives the upload, and every change of the job. */
  onProgress: (job: ImageJob | 'uploading' | 'downloading') => void;
  /** Aborts when the caller cancels the job. */
  interrupted: AbortSignal;
  /** Keeps what the caller has seen, for later verdicts. */
  keeper?: JobKeeper | undefined;
}

export type Equalized = Omit<EqualizeDocument, 'picture'>;

/**
 * Equalizes one file.
 * @throws MeshError `job.failed`, `job.cancelled`, `job.interrupted`; the client's error for a
 *   refusal
 */
export async function equalize(options: EqualizeOptions): Promise<Equalized> {
  const { client, out, onProgress, keeper } = options;
  const startedAt = performance.now();
  onProgress('uploading');
  const accepted = await submitted(options);
  const acceptedAt = performance.now();
  keeper?.accepted(accepted.id);
  const job = await followed(options, accepted.id);
  const overAt = performance.now();
  keeper?.over(job);
  if (job.phase !== 'finished')
    throw meshError(
      job.phase === 'cancelled' ? 'job.cancelled' : 'job.failed',
      `job ${job.id} ${job.phase === 'cancelled' ? 'was cancelled' : `failed: ${job.reason ?? 'no reason was given'}`}`,
    );
  onProgress('downloading');
  await client.download(job.id, out);
  return {
    job,
    out,
    bytes: (await stat(out)).size,
    uploadMs: acceptedAt - startedAt,
    jobMs: overAt - acceptedAt,
    downloadMs: performance.now() - overAt,
  };
}

/**
 * Resolves with the job when it has ended. If the caller interrupts, it waits only for the
 * cancellation.
 */
async function followed({ client, onProgress, interrupted }: EqualizeOptions, id: string): Promise<ImageJob> {
  let last: ImageJob | undefined;
  try {
    for await (const job of client.follow(id, interrupted)) {
      last = job;
      onProgress(job);
    }
  } catch (error) {
    if (!interrupted.aborted) throw error;
    throw await cancelled(client, id);
  }
  return last ?? client.read(id);
}

async function cancelled(client: EqualizerClient, id: string): Promise<MeshError> {
  try {
    await client.cancel(id);
    return meshError('job.interrupted', `job ${id} is cancelled`);
  } catch (cause) {
    const why = `job ${id} continues, because it could not be cancelled: ${messageOf(cause)}`;
    return meshError('job.interrupted', why, { cause });
  }
}

/** Submits the job. An interrupted upload leaves no job behind. */
async function submitted({ client, file, fields, interrupted: signal }: EqualizeOptions): Promise<ImageJob> {
  try {
    return await client.submit({ file, fields, signal });
  } catch (cause) {
    if (!signal.aborted) throw cause;
    throw meshError('job.interrupted', 'the upload was interrupted: there is no job', { cause });
  }
}
