import assert from 'node:assert/strict';
import { mkdir, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { it } from 'node:test';
import { temporaryFolder } from '@thermomesh/testing';
import { readEvidence } from '../evidence/files.ts';
import type { Mesh } from '../mesh.ts';
import { readJson } from './files.ts';
import { layoutOf } from './layout.ts';

it('a damaged file of the mesh is named, whatever its bytes are', async () => {
  await using home = await temporaryFolder('files');
  const file = path.join(home.folder, 'run.json');
  assert.equal(readJson(file), undefined);
  for (const text of ['', '{"name":"ma', '\0\0\0', '{} {}', 'null', '5']) {
    await writeFile(file, text);
    assert.throws(() => readJson(file), { code: 'mesh.damaged_file', message: /run\.json cannot be read/ });
  }
});

it('a damaged line of the evidence is named, but a torn last line is left out', async () => {
  await using home = await temporaryFolder('evidence');
  const mesh = { layout: layoutOf(home.folder, 'main') } as Mesh;
  await mkdir(mesh.layout.evidenceDir, { recursive: true });
  const file = path.join(mesh.layout.evidenceDir, 'orders-1-1.ndjson');
  await writeFile(file, '{"a":1}\n{"a":');
  assert.deepEqual(readEvidence(mesh, 'orders'), [[{ a: 1 }]]);
  for (const line of ['{"a":', 'null', '5', '', '\0']) {
    await writeFile(file, `{"a":1}\n${line}\n`);
    assert.throws(() => readEvidence(mesh, 'orders'), { code: 'evidence.damaged', message: /line 2/ }, line);
  }
});
