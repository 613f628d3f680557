/** Performs tasks in a worker thread. */
import { decodeTables, encodeHistogram } from '@thermomesh/equalization';
import { codeOf, isRetriable, messageOf } from '@thermomesh/runtime';
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
 * Performs one task.
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

/** Turns an error into a message. Errors without a dotted code get `worker.failed`. */
export function failureOf(error: unknown): Failure {
  const code = codeOf(error);
  const named = code?.includes('.') === true;
  // An error of the file system (no space, a missing blob) may pass; a bug does not.
  const isSystemError = code !== undefined && !hasRetriable(error);
  const retriable = isRetriable(error) || isSystemError;
  return { code: named ? code : 'worker.failed', message: messageOf(error), retriable };
}

/** Whether an error states if it is retriable, as errors of the mesh do. */
function hasRetriable(error: unknown): boolean {
  return typeof error === 'object' && error !== null && 'retriable' in error;
}
