import assert from 'node:assert/strict';
import { it } from 'node:test';
import { MeshError } from '@thermomesh/runtime';
import { reasonOf } from './reasons.ts';

it('the owner of a job reads what is wrong with the image, and no path of a machine', () => {
  assert.equal(reasonOf(new MeshError('image.truncated', 'ends early')), 'image.truncated: ends early');
  const withPaths = [
    new MeshError('worker.failed', "ENOENT: no such file, open '/secret/place'"),
    new MeshError('image.io', "ENOSPC, write '/secret/place'"),
    Object.assign(new Error("open '/secret/place'"), { code: 'EACCES' }),
    new Error('/secret/place'),
  ];
  for (const error of withPaths) assert.doesNotMatch(reasonOf(error), /secret/);
});
