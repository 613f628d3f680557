import assert from 'node:assert/strict';
import { it } from 'node:test';
import { codeOf } from '@thermomesh/runtime';
import { checkOpenFiles } from './open-files.ts';

it('a run with more devices than open files is refused', () => {
  assert.throws(
    () => checkOpenFiles(1000, 1024),
    (error) => codeOf(error) === 'load.open_files',
  );
  checkOpenFiles(900, 1024);
  checkOpenFiles(10);
});
