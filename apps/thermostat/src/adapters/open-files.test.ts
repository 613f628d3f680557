import assert from 'node:assert/strict';
import { it } from 'node:test';
import { codeOf } from '@thermomesh/runtime';
import { checkOpenFiles } from './open-files.ts';

it('more devices than open files are refused before the first of them connects', () => {
  assert.throws(
    () => checkOpenFiles(1000, 1024),
    (error) => codeOf(error) === 'load.open_files',
  );
  checkOpenFiles(900, 1024);
  checkOpenFiles(10);
});
