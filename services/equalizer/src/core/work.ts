/** What the parts of one job's work have in common: what is computed, and under which names its blobs lie. */
import { createHash } from 'node:crypto';
import type { JobParameters, SpooledImage } from '@thermomesh/contracts';
import { planEqualization, type EqualizationPlan, type Histogram } from '@thermomesh/equalization';
import type { SpoolShape } from '../image/index.ts';
import { blobsOf } from './jobs.ts';
import { readRequest, type EqualizationRequest } from './request.ts';

/** What is done to the pixels of one decoded image. */
export interface PixelWork {
  readonly request: EqualizationRequest;
  readonly shape: SpoolShape;
  /** Null for `clahe`: its chunks are the barrier's only. */
  readonly plan: EqualizationPlan | null;
}

/**
 * The same on every node: it follows from the job's parameters and the decoded image.
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

/** Blobs that only the work itself needs: they go when the job is over. */
export function workPrefix(jobId: string): string {
  return `${blobsOf(jobId).prefix}made/`;
}

/**
 * What a coordinator of `epoch` makes itself. Its names are its own: a deposed one that wakes up in the middle of its work touches
 * nothing that its successor uses (I4). Which of them counts is in the job's metadata.
 */
export function coordinatorBlobs(jobId: string, epoch: number) {
  return {
    spool: `${workPrefix(jobId)}spool-${epoch}`,
    table: `${workPrefix(jobId)}table-${epoch}`,
    result: `${blobsOf(jobId).result}-${epoch}`,
  };
}

/** The spool that belongs to a table: every chunk is written into its place there. */
export function resultSpoolOf(table: string): string {
  return `${table}.result-spool`;
}

/** A histogram that is too large for a record. Named by its content, so that attempts that agree write the same blob. */
export function histogramBlob(jobId: string, chunk: number, digest: string): string {
  return `${workPrefix(jobId)}histogram-${chunk}-${digest.slice(0, 32)}`;
}

/** Of an 8-bit histogram the counts travel in the record, plane after plane. */
export function countsOf(plan: EqualizationPlan, { counts }: Histogram): number[][] {
  return Array.from({ length: plan.planes }, (_, plane) => [
    ...counts.subarray(plane * plan.bins, (plane + 1) * plan.bins),
  ]);
}

/** Of whatever decides a chunk's result; equal digests mean equal contributions. */
export function digestOf(...parts: readonly (string | Uint8Array)[]): string {
  const hash = createHash('sha256');
  for (const part of parts) hash.update(part).update('\0');
  return hash.digest('hex');
}
