/** One image through the mesh: upload, follow, save. */
import { stat } from 'node:fs/promises';
import type { EqualizeDocument, ImageJob } from '@thermomesh/contracts';
import type { EqualizerClient } from '@thermomesh/equalizer-client';
import { MeshError, messageOf } from '@thermomesh/runtime';

export interface EqualizeOptions {
  client: EqualizerClient;
  file: string;
  fields: Readonly<Record<string, string>>;
  out: string;
  /** Told of the upload, and of every change of the job. */
  onProgress: (job: ImageJob | 'uploading' | 'downloading') => void;
  /** The caller has had enough: the job is cancelled. */
  interrupted: AbortSignal;
}

export type Equalized = Omit<EqualizeDocument, 'picture'>;

/** @throws MeshError `job.failed`, `job.cancelled`, `job.interrupted`; what the client throws for a refusal */
export async function equalize(options: EqualizeOptions): Promise<Equalized> {
  const { client, out, onProgress } = options;
  const startedAt = performance.now();
  onProgress('uploading');
  const accepted = await submitted(options);
  const acceptedAt = performance.now();
  const job = await followed(options, accepted.id);
  const overAt = performance.now();
  if (job.phase !== 'finished')
    throw new MeshError(
      job.phase === 'cancelled' ? 'job.cancelled' : 'job.failed',
      `job ${job.id} ${job.phase === 'cancelled' ? 'was cancelled' : `failed: ${job.reason ?? 'no reason was given'}`}`,
    );
  onProgress('downloading');
  await client.download(job.id, out);
  return {
    ...{ job, out },
    bytes: (await stat(out)).size,
    uploadMs: acceptedAt - startedAt,
    jobMs: overAt - acceptedAt,
    downloadMs: performance.now() - overAt,
  };
}

/** The job when it is over. Whoever interrupts waits for its cancellation alone. */
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
    return new MeshError('job.interrupted', `job ${id} is cancelled`);
  } catch (cause) {
    const why = `job ${id} goes on: it could not be cancelled: ${messageOf(cause)}`;
    return new MeshError('job.interrupted', why, { cause });
  }
}

/** An upload that is broken off leaves no job behind. */
async function submitted({ client, file, fields, interrupted: signal }: EqualizeOptions): Promise<ImageJob> {
  try {
    return await client.submit({ file, fields, signal });
  } catch (cause) {
    if (!signal.aborted) throw cause;
    throw new MeshError('job.interrupted', 'the upload was broken off: there is no job', { cause });
  }
}
