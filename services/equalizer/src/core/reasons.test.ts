import assert from 'node:assert/strict';
import { it } from 'node:test';
import { MeshError } from '@thermomesh/runtime';
import { reasonOf } from './reasons.ts';

it('a failure reason names what is wrong with the image, but no path of a host', () => {
  assert.equal(reasonOf(new MeshError('image.truncated', 'ends early')), 'image.truncated: ends early');
  const withPaths = [
    new MeshError('worker.failed', "ENOENT: no such file, open '/secret/place'"),
    new MeshError('image.io', "ENOSPC, write '/secret/place'"),
    Object.assign(new Error("open '/secret/place'"), { code: 'EACCES' }),
    new Error('/secret/place'),
  ];
  for (const error of withPaths) assert.doesNotMatch(reasonOf(error), /secret/);
});
