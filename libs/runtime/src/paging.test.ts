import assert from 'node:assert/strict';
import { it } from 'node:test';
import { HttpError } from '@thermomesh/runtime';
import { decodeCursor, encodeCursor, pageOf } from './paging.ts';

it('a cursor decodes to its key, and any other text is refused', () => {
  assert.deepEqual(decodeCursor<[number, string]>(encodeCursor([1, 'a']), ['integer', 'string']), [1, 'a']);
  for (const text of [
    '',
    'x',
    encodeCursor([1]),
    encodeCursor(['a', 1]),
    Buffer.from('{').toString('base64url'),
    // What PostgreSQL would refuse: half a number, one that no row has, NUL, half a character.
    ...[0.5, -1, 1e300, 2 ** 53, '1', null].map((first) => encodeForged([first, 'a'])),
    ...['\0', 'a\0', '\ud800', 1, {}].map((second) => encodeForged([1, second])),
  ]) {
    assert.throws(() => decodeCursor(text, ['integer', 'string']), HttpError);
  }
});

it('a cursor with characters that the decoder would skip is refused', () => {
  for (const text of [
    '*WzFd',
    'WzFd*',
    'WzFd=',
    'Wz Fd',
    'WzFd\n',
    Buffer.from('[-0]').toString('base64url'),
  ])
    assert.throws(() => decodeCursor(text, ['integer']), /cursor must be/, text);
});

/** A cursor as no server made it. */
function encodeForged(key: unknown): string {
  return Buffer.from(JSON.stringify(key)).toString('base64url');
}

it('only a full page has a cursor of the next page', () => {
  assert.equal(pageOf([1, 2], 3, (last) => [last]).next, null);
  assert.equal(pageOf([], 3, () => [0]).next, null);
  assert.equal(pageOf([1, 2, 3], 3, (last) => [last]).next, encodeCursor([3]));
});
