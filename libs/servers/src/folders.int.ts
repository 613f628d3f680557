import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { chmodSync, statSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { describe, it } from 'node:test';
import { temporaryFolder } from '@thermomesh/testing';
import { makeFolder, mendFolder, openTree } from './folders.ts';

const modeOf = (file: string) => statSync(file).mode & 0o777;

/** Runs a call of folders.ts in a process with umask 077. */
function underUmask(call: string): void {
  const script = `import * as folders from ${JSON.stringify(path.resolve(import.meta.dirname, 'folders.ts'))}; folders.${call};`;
  const words = ['-c', 'umask 077; exec "$0" --input-type=module -e "$1"', process.execPath, script];
  execFileSync('/bin/sh', words);
}

describe('folders under umask 077', () => {
  it('a folder and its parents get their mode, whatever the umask', async () => {
    await using home = await temporaryFolder('folders');
    const folder = path.join(home.folder, 'a', 'b');
    underUmask(`makeFolder(${JSON.stringify(folder)})`);
    assert.deepEqual([folder, path.dirname(folder)].map(modeOf), [0o755, 0o755]);
    underUmask(`makeFolder(${JSON.stringify(path.join(folder, 'own'))}, 0o700)`);
    assert.equal(modeOf(path.join(folder, 'own')), 0o700);
  });

  it('a folder that an earlier start made under umask 077 is mended', async () => {
    await using home = await temporaryFolder('folders');
    const folder = path.join(home.folder, 'staged');
    makeFolder(path.join(folder, 'bin'));
    const [program, data] = ['postgres', 'data'].map((name) => path.join(folder, 'bin', name));
    assert.ok(program !== undefined && data !== undefined);
    for (const file of [program, data]) writeFileSync(file, '');
    chmodSync(program, 0o700);
    chmodSync(data, 0o600);
    for (const each of [path.join(folder, 'bin'), folder]) chmodSync(each, 0o700);
    openTree(folder);
    assert.deepEqual(
      [folder, path.join(folder, 'bin'), program, data].map(modeOf),
      [0o755, 0o755, 0o755, 0o644],
    );
    assert.equal(mendFolder(folder), false);
  });
});
