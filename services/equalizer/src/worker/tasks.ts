/** What a thread does for each kind of task. */
import { decodeTables, encodeHistogram } from '@thermomesh/equalization';
import { codeOf, messageOf } from '@thermomesh/runtime';
import {
  clahe,
  countRectangle,
  createResult,
  decode,
  encode,
  identify,
  mapRectangle,
} from '../image/index.ts';
import type { Failure, ImageResults, ImageTask, ThreadSettings } from './messages.ts';

/**
 * Does one task.
 * @throws MeshError, EqualizationError: see the functions of `image/`
 */
export async function perform(
  task: ImageTask,
  { limits }: ThreadSettings,
): Promise<ImageResults[keyof ImageResults]> {
  switch (task.kind) {
    case 'identify':
      return identify(task.file, { limits, ...pageOf(task) });
    case 'decode':
      return decode(task.file, task.spool, { limits, ...pageOf(task) });
    case 'prepare':
      return createResult(task.spool, task.result, task.channels, task.wanted);
    case 'histogram': {
      const histogram = await countRectangle(task.spool, task.shape, task.plan, task.rectangle);
      return { pixels: histogram.pixels, counts: encodeHistogram(histogram) };
    }
    case 'apply': {
      const tables = decodeTables(task.plan, task.tables);
      const { spool, shape, plan, rectangle, result } = task;
      const bytes = await mapRectangle(spool, shape, plan, tables, rectangle, result);
      return { bytes };
    }
    case 'clahe':
      return clahe(task.spool, task.result, task.options, limits.wholeImagePixelsMax);
    case 'encode':
      return { bytes: await encode(task.spool, task.file, task.output, limits.wholeImagePixelsMax) };
  }
}

function pageOf(task: { page?: number }): { page?: number } {
  return task.page === undefined ? {} : { page: task.page };
}

/** An error as a message; errors without a code of ours get `worker.failed`. */
export function failureOf(error: unknown): Failure {
  const code = codeOf(error);
  const named = code?.includes('.') === true;
  // What the file system refuses (no space, a missing blob) may be cured from outside; a bug is not.
  const retriable =
    typeof error === 'object' && error !== null && 'retriable' in error
      ? error.retriable === true
      : code !== undefined;
  return { code: named ? code : 'worker.failed', message: messageOf(error), retriable };
}
