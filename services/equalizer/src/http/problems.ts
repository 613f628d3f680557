/**
 * Errors as answers of HTTP. An error that is not listed here is a bug: it is answered with 500 and
 * logged.
 */
import { codeOf, HttpError, messageOf, type ProblemOptions } from '@thermomesh/runtime';
import type { EqualizerErrorCode } from '../core/errors.ts';
import type { ImageErrorCode } from '../image/index.ts';

/** An answer with one of this service's codes. */
export function httpError(
  status: number,
  code: EqualizerErrorCode | ImageErrorCode,
  message: string,
  options: ProblemOptions = {},
): HttpError {
  return new HttpError(status, code, message, options);
}

/** Statuses of permanent errors: the same request would be refused again. */
const permanent: Record<string, number> = {
  'request.invalid': 400,
  'image.not_an_image': 415,
  'image.truncated': 422,
  'image.damaged': 422,
  'image.bytes_limit': 413,
  'image.pixels_limit': 413,
  'image.metadata_limit': 413,
  'image.unsupported_depth': 422,
  'image.unsupported_colour': 422,
  'image.unsupported_layout': 422,
  'image.no_such_page': 422,
  'image.unencodable': 422,
  'equalization.unsupported': 422,
  'worker.timed_out': 422,
};

/**
 * Details of temporary errors (503): the same request may succeed later. The errors' own messages
 * may contain paths of this host, so callers get these texts.
 */
const temporary: Record<string, string> = {
  'jobs.unavailable': 'jobs cannot be reached now',
  'worker.queue_full': 'too many images are being processed here now',
  'worker.crashed': 'the image could not be processed now',
  'worker.closed': 'this node is stopping',
  'blob.no_space': 'there is no space for images now',
  'blob.io': 'images cannot be stored or read now',
  'image.io': 'images cannot be stored or read now',
};

/** The error to throw instead: an answer, or the error itself if it is a bug. */
export function answerFor(error: unknown, retryAfterSeconds: number): unknown {
  if (error instanceof HttpError) return error;
  const code = codeOf(error) ?? '';
  const status = permanent[code];
  if (status !== undefined) return new HttpError(status, code, messageOf(error), { cause: error });
  const detail = temporary[code];
  if (detail !== undefined) return new HttpError(503, code, detail, { retryAfterSeconds, cause: error });
  return error;
}

/** Runs `work`; an error of it becomes the answer of {@link answerFor}. */
export async function answering<T>(retryAfterSeconds: number, work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    throw answerFor(error, retryAfterSeconds);
  }
}
