/** What coordinator and leaders share about the work on a job: the computation and blob names. */
import { createHash } from 'node:crypto';
import type { JobParameters, SpooledImage } from '@thermomesh/contracts';
import { planEqualization, type EqualizationPlan, type Histogram } from '@thermomesh/equalization';
import type { SpoolShape } from '../image/index.ts';
import { blobsOf } from './jobs.ts';
import { readRequest, type EqualizationRequest } from './request.ts';

/** The computation on the pixels of one decoded image. */
export interface PixelWork {
  readonly request: EqualizationRequest;
  readonly shape: SpoolShape;
  /** Null for `clahe`, whose single chunk only passes through the protocol. */
  readonly plan: EqualizationPlan | null;
}

/**
 * Derives the computation from the job's parameters and the decoded image, equally on every node.
 * @throws MeshError `request.invalid`; EqualizationError `equalization.unsupported`
 */
export function pixelWork(parameters: JobParameters, image: SpooledImage): PixelWork {
  const request = readRequest(parameters);
  const shape = {
    width: image.widthPixels,
    height: image.heightPixels,
    channels: image.channels,
    depth: image.bitDepth,
  } as SpoolShape;
  if (request.mode === 'clahe') return { request, shape, plan: null };
  const plan = planEqualization({
    depth: shape.depth,
    channels: shape.channels,
    ...(request.mode === undefined ? {} : { mode: request.mode }),
    ...(request.definition === undefined ? {} : { definition: request.definition }),
  });
  return { request, shape, plan };
}

/** Prefix of intermediate blobs, which are removed when the job is over. */
export function workPrefix(jobId: string): string {
  return `${blobsOf(jobId).prefix}made/`;
}

/**
 * Keys of the blobs that the coordinator of `epoch` makes. They contain the epoch, so that a
 * deposed coordinator that wakes up in the middle of its work touches nothing that its successor
 * uses (I4). The job's metadata name the valid ones.
 */
export function coordinatorBlobs(jobId: string, epoch: number) {
  return {
    spool: `${workPrefix(jobId)}spool-${epoch}`,
    table: `${workPrefix(jobId)}table-${epoch}`,
    result: `${blobsOf(jobId).result}-${epoch}`,
  };
}

/** Key of the result spool of a table, into which every chunk is written. */
export function resultSpoolOf(table: string): string {
  return `${table}.result-spool`;
}

/**
 * Key of a histogram that is too large for a record. It contains the digest, so that attempts with
 * equal results write the same blob.
 */
export function histogramBlob(jobId: string, chunk: number, digest: string): string {
  return `${workPrefix(jobId)}histogram-${chunk}-${digest.slice(0, 32)}`;
}

/** The counts of an 8-bit histogram, plane after plane, as a record carries them. */
export function countsOf(plan: EqualizationPlan, { counts }: Histogram): number[][] {
  return Array.from({ length: plan.planes }, (_, plane) => [
    ...counts.subarray(plane * plan.bins, (plane + 1) * plan.bins),
  ]);
}

/**
 * Digest of everything that determines a chunk's result; equal digests mean equal contributions.
 */
export function digestOf(...parts: readonly (string | Uint8Array)[]): string {
  const hash = createHash('sha256');
  for (const part of parts) hash.update(part).update('\0');
  return hash.digest('hex');
}
