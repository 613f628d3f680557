/** Pages of long lists. Cursors are opaque to callers, with the key of the last row inside. */
import { HttpError } from './http.ts';

export function encodeCursor(key: readonly (string | number)[]): string {
  return Buffer.from(JSON.stringify(key)).toString('base64url');
}

/** @throws HttpError 400 for a text that {@link encodeCursor} did not make, or with other kinds of fields */
export function decodeCursor<K extends readonly (string | number)[]>(
  text: string,
  kinds: { [I in keyof K]: 'string' | 'number' | 'integer' },
): K {
  let key: unknown;
  try {
    key = JSON.parse(Buffer.from(text, 'base64url').toString('utf8'));
  } catch {
    key = undefined;
  }
  if (
    !Array.isArray(key) ||
    key.length !== kinds.length ||
    !key.every((field, i) =>
      kinds[i] === 'integer' ? Number.isSafeInteger(field) : typeof field === kinds[i],
    )
  ) {
    throw new HttpError(400, 'http.bad_cursor', 'cursor must be the "next" of an earlier answer');
  }
  return key as unknown as K;
}

/** A full page has a next one; a page that is not full is the last. */
export function pageOf<R>(
  items: R[],
  limit: number,
  keyOf: (last: R) => readonly (string | number)[],
): { items: R[]; next: string | null } {
  const last = items.at(-1);
  return { items, next: last !== undefined && items.length === limit ? encodeCursor(keyOf(last)) : null };
}
