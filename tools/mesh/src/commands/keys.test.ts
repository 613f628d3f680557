import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { mkdir, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { it } from 'node:test';
import { temporaryFolder } from '@thermomesh/testing';
import { readMeshConfig } from '../config.ts';
import { createProgram } from './program.ts';

it('a mesh that does not exist is refused with the meshes that do, and no key', async () => {
  await using home = await temporaryFolder('keys');
  await mkdir(path.join(home.folder, 'second'));
  await writeFile(path.join(home.folder, 'second', 'secret'), 'x'.repeat(43));
  const run = async (...words: string[]) =>
    createProgram(() => readMeshConfig({ MESH_HOME: home.folder })).parseAsync(words, { from: 'user' });
  for (const words of [
    ['api-key', 'create'],
    ['api-key', 'list'],
    ['api-key', 'rotate', '0123456789ab'],
    ['api-key', 'revoke', '0123456789ab'],
    ['device-token', 'd1'],
    ['status'],
    ['verify'],
    ['load'],
    ['down'],
  ])
    await assert.rejects(
      run(...words, '--name', 'ro'),
      { code: 'mesh.unknown', message: /there is no mesh "ro": .* has "second"/ },
      words.join(' '),
    );
  await assert.rejects(run('api-key', 'create', '--name', 'ro'), /a label of the key is --label ro/);
  await assert.rejects(run('status', '--name', 'secnd'), /did you mean --name second\?/);
  assert.equal(existsSync(path.join(home.folder, 'ro')), false);
});
