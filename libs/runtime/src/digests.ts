/** Digests, and the comparison of secrets. */
import { createHash, timingSafeEqual } from 'node:crypto';

/** The SHA-256 of a text, in hex. */
export function sha256(text: string): string {
  return createHash('sha256').update(text).digest('hex');
}

/** True if both texts are equal. The comparison takes the same time wherever they differ. */
export function equalInConstantTime(a: string, b: string): boolean {
  const digest = (text: string) => createHash('sha256').update(text).digest();
  return timingSafeEqual(digest(a), digest(b));
}
