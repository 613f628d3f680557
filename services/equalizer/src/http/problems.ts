/** What is wrong with a request or a node, as an answer. What is not named here is a fault of ours: 500, and the log has it. */
import { codeOf, HttpError, messageOf } from '@thermomesh/runtime';

/** The same request is refused again. */
const refusals: Record<string, number> = {
  'request.invalid': 400,
  'image.not_an_image': 415,
  'image.truncated': 422,
  'image.damaged': 422,
  'image.bytes_limit': 413,
  'image.pixels_limit': 413,
  'image.metadata_limit': 413,
  'image.unsupported_depth': 422,
  'image.unsupported_colour': 422,
  'image.no_such_page': 422,
  'image.unencodable': 422,
  'equalization.unsupported': 422,
  'worker.timed_out': 422,
};

/** The same request may do later. Their messages may hold paths of this machine: callers get these words. */
const passing: Record<string, string> = {
  'jobs.unavailable': 'jobs cannot be reached now',
  'worker.queue_full': 'too many images are being looked at here now',
  'worker.crashed': 'the image could not be looked at now',
  'worker.closed': 'this node is stopping',
  'blob.no_space': 'there is no room for images now',
  'blob.io': 'images cannot be stored or read now',
  'image.io': 'images cannot be stored or read now',
};

/** @returns what to throw instead */
export function answerFor(error: unknown, retryAfterSeconds: number): unknown {
  if (error instanceof HttpError) return error;
  const code = codeOf(error) ?? '';
  const status = refusals[code];
  if (status !== undefined) return new HttpError(status, code, messageOf(error), { cause: error });
  const detail = passing[code];
  if (detail !== undefined) return new HttpError(503, code, detail, { retryAfterSeconds, cause: error });
  return error;
}

/** Answers with {@link answerFor}. */
export async function answering<T>(retryAfterSeconds: number, work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    throw answerFor(error, retryAfterSeconds);
  }
}
