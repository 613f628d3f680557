/** The reason of a failure that the owner of a job may read. */
import { codeOf, messageOf } from '@thermomesh/runtime';

/**
 * Codes whose messages are safe to show to the job's owner. Messages of other errors may contain
 * paths of a host; they go to the log only.
 */
const publicPrefixes = ['image.', 'equalization.', 'request.', 'equalizer.'];
const publicMessages: Record<string, string> = {
  'image.io': 'the image’s files cannot be read or written',
  'blob.io': 'the image’s files cannot be read or written',
  'blob.not_found': 'a file that the job needs is gone',
  'blob.no_space': 'there is no space for the image',
  'worker.crashed': 'a thread died while it worked on the image',
  'worker.timed_out': 'the work on the image took too long',
};

/** The code of an error, and a message without internal details. */
export function reasonOf(error: unknown): string {
  const code = codeOf(error) ?? 'unknown';
  const message = publicMessages[code];
  if (message !== undefined) return `${code}: ${message}`;
  if (publicPrefixes.some((prefix) => code.startsWith(prefix))) return `${code}: ${messageOf(error)}`;
  return `${code}: the work on the image failed`;
}
