import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { open } from 'node:fs/promises';
import path from 'node:path';
import { describe, it } from 'node:test';
import { temporaryFolder } from '@thermomesh/testing';

const main = path.resolve(import.meta.dirname, 'main.ts');

/** Runs the command with a stdout whose reader has left before the first byte. */
async function withoutReader(...words: string[]): Promise<{ code: number | null; stderr: string }> {
  await using home = await temporaryFolder('main');
  const env = { ...process.env, MESH_HOME: home.folder };
  const child = spawn(process.execPath, [main, ...words], { env, stdio: ['ignore', 'pipe', 'pipe'] });
  child.stdout.destroy();
  let stderr = '';
  child.stderr.on('data', (bytes: Buffer) => (stderr += bytes.toString()));
  const [code] = (await once(child, 'close')) as [number | null];
  return { code, stderr };
}

it('output to a full disk fails the command with one line', async () => {
  const full = await open('/dev/full', 'w');
  try {
    const child = spawn(process.execPath, [main, 'zk', '--help'], { stdio: ['ignore', full.fd, 'pipe'] });
    let stderr = '';
    child.stderr!.on('data', (bytes: Buffer) => (stderr += bytes.toString()));
    assert.deepEqual(await once(child, 'close'), [1, null]);
    assert.match(stderr, /^mesh: the output cannot be written: ENOSPC[^\n]*\n$/);
  } finally {
    await full.close();
  }
});

describe('a command whose reader goes away', () => {
  for (const words of [['--help'], ['zk', '--help'], ['chaos', '--help']])
    it(`mesh ${words.join(' ')} ends without a message`, async () =>
      assert.deepEqual(await withoutReader(...words), { code: 0, stderr: '' }));
});
