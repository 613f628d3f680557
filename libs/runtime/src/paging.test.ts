import assert from 'node:assert/strict';
import { it } from 'node:test';
import { HttpError } from '@thermomesh/runtime';
import { decodeCursor, encodeCursor, pageOf } from './paging.ts';

it('a cursor reads back, and anything else is refused', () => {
  assert.deepEqual(decodeCursor<[number, string]>(encodeCursor([1, 'a']), ['number', 'string']), [1, 'a']);
  for (const text of [
    '',
    'x',
    encodeCursor([1]),
    encodeCursor(['a', 1]),
    Buffer.from('{').toString('base64url'),
  ]) {
    assert.throws(() => decodeCursor(text, ['number', 'string']), HttpError);
  }
});

it('only a full page has a next one', () => {
  assert.equal(pageOf([1, 2], 3, (last) => [last]).next, null);
  assert.equal(pageOf([], 3, () => [0]).next, null);
  assert.equal(pageOf([1, 2, 3], 3, (last) => [last]).next, encodeCursor([3]));
});
