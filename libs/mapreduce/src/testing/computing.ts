/** Fake work whose result describes its input: equal texts mean equal pixels. */
import type { JobMetadata, SpooledImage, TaskOutput, TaskRecord } from '@thermomesh/contracts';
import { chunkCount, planChunks, rectangleOf } from '../plan.ts';
import type { Outcome } from '../leader.ts';

/** An image of `rows` rows of ten pixels. */
export function imageOf(jobId: string, rows: number): SpooledImage {
  return { key: `${jobId}/spool`, widthPixels: 10, heightPixels: rows, channels: 1, bitDepth: 8 };
}

/**
 * The outcome of a task: equal for the same part of the image through the same table, and for
 * nothing else.
 */
export function compute(task: TaskRecord): Outcome {
  const { left, top, width, height } = task.rectangle;
  const digest = `${task.phase} ${left},${top} ${width}x${height} ${task.table ?? ''}`;
  return { kind: 'done', digest, output: { kind: 'blob', key: digest, bytes: width * height } };
}

/** A table or an image made from outputs, in their order. */
export function join(what: 'table' | 'image', outputs: readonly TaskOutput[]): string {
  let hash = 5381;
  for (const output of outputs)
    for (const letter of output.kind === 'blob' ? output.key : '')
      hash = (hash * 33 + letter.charCodeAt(0)) % 2 ** 32;
  return `${what} of ${outputs.length} chunks, ${hash}`;
}

/** The result of a job that one process computes, one chunk after the other. */
export function reference(
  job: JobMetadata,
  rows: number,
  chunkPixelsMax: number,
  chunksPerJobMax: number,
): string {
  const image = imageOf(job.id, rows);
  const grid = planChunks(image.widthPixels, rows, { chunkPixelsMax, chunksPerJobMax });
  const outputs = (phase: 'mapping' | 'applying', table: string | null) =>
    Array.from({ length: chunkCount(grid) }, (_, chunk): TaskOutput => {
      const task = { phase, rectangle: rectangleOf(grid, chunk), table } as TaskRecord;
      const outcome = compute(task);
      if (outcome.kind === 'failed') throw new Error(outcome.reason);
      return outcome.output;
    });
  return join('image', outputs('applying', join('table', outputs('mapping', null))));
}
