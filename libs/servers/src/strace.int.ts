import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import path from 'node:path';
import { it } from 'node:test';
import { promisify } from 'node:util';
import { temporaryFolder } from '@thermomesh/testing';
import { findStrace } from './strace.ts';

it('absent strace is reported in one line that says what to install', async () => {
  await using temporary = await temporaryFolder('tools');
  // A device where the folder should be: no machine can unpack anything there.
  const found = await findStrace('/dev/null/tools', temporary.folder);
  assert.ok('missing' in found);
  assert.equal(found.missing.includes('\n'), false);
  assert.match(found.missing, /install the package "strace"/);
});

it('strace from the packages runs without an installed one', async () => {
  await using temporary = await temporaryFolder('tools');
  const toolsDir = path.resolve(import.meta.dirname, '../../../.mesh/tools');
  const found = await findStrace(toolsDir, temporary.folder);
  assert.ok('program' in found, 'missing' in found ? found.missing : '');
  const { stdout } = await promisify(execFile)(found.program, ['-V'], { env: found.env });
  assert.match(stdout, /^strace -- version \d/);
});
