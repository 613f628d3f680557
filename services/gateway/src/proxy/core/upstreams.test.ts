import assert from 'node:assert/strict';
import { it } from 'node:test';
import { createUpstreams } from './upstreams.ts';

it('nodes take turns, and a node that failed comes last until its hold ends', () => {
  let known = ['a', 'b', 'c'];
  let nowMs = 1_000;
  const upstreams = createUpstreams({ urls: () => known, holdMs: 5_000, nowMs: () => nowMs });
  const next = () => upstreams.candidates().join('');
  assert.deepEqual([next(), next(), next(), next()], ['abc', 'bca', 'cab', 'abc']);
  upstreams.failed('b');
  assert.deepEqual([next(), next(), next()], ['cab', 'cab', 'acb']);
  nowMs += 5_000;
  assert.deepEqual([next(), next()], ['bca', 'cab']);
  upstreams.failed('a');
  upstreams.answered('a');
  assert.equal(next(), 'abc');
  for (const url of known) upstreams.failed(url);
  assert.equal(next().length, 3);
  known = [];
  assert.equal(next(), '');
  known = ['b'];
  assert.equal(next(), 'b');
});
