/** Pages of long lists. A cursor contains the key of the last row and is opaque to callers. */
import { HttpError } from './problems.ts';

/** Encodes the key of the last row of a page. */
export function encodeCursor(key: readonly (string | number)[]): string {
  return Buffer.from(JSON.stringify(key)).toString('base64url');
}

/**
 * Decodes a cursor and checks the types of its fields.
 * @throws HttpError 400 `http.bad_cursor` for a text that {@link encodeCursor} did not make, or
 *   with other types
 */
export function decodeCursor<K extends readonly (string | number)[]>(
  text: string,
  kinds: { [I in keyof K]: 'string' | 'integer' },
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
    !key.every((field, index) => (kinds[index] === 'integer' ? isCount(field) : isStorable(field))) ||
    // The decoder skips characters that are not base64url, and a number has several spellings.
    encodeCursor(key as (string | number)[]) !== text
  ) {
    throw new HttpError(400, 'http.bad_cursor', 'cursor must be the "next" of an earlier answer', {
      param: 'cursor',
      in: 'query',
    });
  }
  return key as unknown as K;
}

/**
 * A page with the cursor of the next one; `next` is null if the page is not full, and so the last.
 */
export function pageOf<R>(
  items: R[],
  limit: number,
  keyOf: (last: R) => readonly (string | number)[],
): { items: R[]; next: string | null } {
  const last = items.at(-1);
  return { items, next: last !== undefined && items.length === limit ? encodeCursor(keyOf(last)) : null };
}

/** A whole number from 0: an id, a sequence number or a time in Unix ms. */
function isCount(field: unknown): boolean {
  return Number.isSafeInteger(field) && Number(field) >= 0;
}

/** Text that PostgreSQL takes: without NUL, without half a character. */
function isStorable(field: unknown): boolean {
  return typeof field === 'string' && field.isWellFormed() && !field.includes('\0');
}
