/** Why a job failed, as its owner reads it. */
import { codeOf, messageOf } from '@thermomesh/runtime';

/** Kinds of errors whose words are about the image or the request; others may name paths of a machine, which is the log's business. */
const tellable = ['image.', 'equalization.', 'request.', 'equalizer.'];
const untold: Record<string, string> = {
  'image.io': 'the image’s files cannot be read or written',
  'blob.io': 'the image’s files cannot be read or written',
  'blob.not_found': 'a file that the job needs is gone',
  'blob.no_space': 'there is no room for the image',
  'worker.crashed': 'the work on it ended a thread',
  'worker.timed_out': 'the work on it took too long',
};

/** A code, and words that anybody may read. */
export function reasonOf(error: unknown): string {
  const code = codeOf(error) ?? 'unknown';
  const words = untold[code];
  if (words !== undefined) return `${code}: ${words}`;
  if (tellable.some((prefix) => code.startsWith(prefix))) return `${code}: ${messageOf(error)}`;
  return `${code}: the work on it ended by an error`;
}
