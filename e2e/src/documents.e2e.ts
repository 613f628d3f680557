import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import {
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import path from 'node:path';
import { after, before, describe, it } from 'node:test';
import { promisify } from 'node:util';
import { startMesh, type MeshHandle } from '@thermomesh/mesh/testing';
import { findMosquittoClients } from '@thermomesh/servers';
import { commandBlocks, pageFindings, scriptOf } from '@thermomesh/testing';
import { repository } from './process-support.ts';
import { waitMs } from './support.ts';

/** Maximum duration of all commands of one page. */
const pageTimeoutMs = 60_000;
let mesh: MeshHandle;
let folder: string;
let bin: string;

before(async () => {
  const tools = path.join(repository, '.mesh/tools');
  const clients = await findMosquittoClients(tools, process.env['PATH'] ?? '');
  if ('missing' in clients) throw new Error(clients.missing);
  mkdirSync(path.join(repository, '.mesh'), { recursive: true });
  // Below the repository, so that pages find its npm packages.
  folder = mkdtempSync(path.join(repository, '.mesh/documents-'));
  bin = path.join(folder, 'bin');
  mkdirSync(bin);
  const entry = path.join(repository, 'tools/mesh/bin/mesh.mjs');
  // `npx mesh` without the start of npm, and for the mesh of this test.
  program('npx', `shift; exec ${process.execPath} ${entry} "$@" --name test`);
  const libraries = clients.env['LD_LIBRARY_PATH'];
  const library = libraries === undefined ? '' : `LD_LIBRARY_PATH='${libraries}' `;
  program('mosquitto_pub', `${library}exec ${clients.pub} "$@"`);
  mesh = await startMesh({ nodes: 2 });
});
after(async () => {
  await mesh?.remove();
  if (folder !== undefined) rmSync(folder, { recursive: true, force: true });
});

function program(name: string, script: string): void {
  writeFileSync(path.join(bin, name), `#!/bin/sh\n${script}\n`, { mode: 0o755 });
}

/** The standard ports of a page become those of this mesh. */
function withPorts(text: string): string {
  const http = new URL(mesh.httpUrl).port;
  return text
    .replaceAll('127.0.0.1:8080', `127.0.0.1:${http}`)
    .replaceAll('127.0.0.1:1883', `127.0.0.1:${new URL(mesh.mqttUrl).port}`)
    .replaceAll('-p 1883', `-p ${new URL(mesh.mqttUrl).port}`);
}

/** Runs the commands of a page and returns what differs from what it shows. */
async function findingsOf(file: string): Promise<string[]> {
  const blocks = commandBlocks(readFileSync(path.join(repository, file), 'utf8'));
  const env = {
    ...process.env,
    MESH_HOME: mesh.home,
    PATH: [bin, path.dirname(process.execPath), process.env['PATH']].join(path.delimiter),
  };
  const run = await new Promise<Parameters<typeof pageFindings>[2]>((resolve) => {
    const options = { cwd: folder, env, timeout: pageTimeoutMs };
    execFile('bash', ['-c', scriptOf(blocks, withPorts)], options, (error, stdout, stderr) =>
      resolve({ code: error === null ? 0 : Number(error.code ?? -1), stdout, stderr }),
    );
  });
  return pageFindings(file, blocks, run);
}

/** Files keep their owners: PostgreSQL's belong to its own user. */
const copyAll = async (from: string, to: string) => promisify(execFile)('cp', ['-a', from, to]);

const markdown = (where: string) =>
  readdirSync(path.join(repository, where), { recursive: true, encoding: 'utf8' })
    .filter((file) => file.endsWith('.md'))
    .map((file) => path.posix.join(where, file))
    .sort();

describe('the commands in the documents', () => {
  for (const file of ['README.md', ...markdown('docs')])
    if (
      commandBlocks(readFileSync(path.join(repository, file), 'utf8')).some(
        ({ mark }) => mark?.kind === 'run',
      )
    )
      it(`${file}: its commands print what it shows`, async () =>
        assert.deepEqual(await findingsOf(file), []));

  it('a copy of the stopped mesh is a backup that can be restored', { timeout: waitMs * 3 }, async () => {
    await mesh.drained();
    const rows = async () => mesh.sql.query('SELECT count(*)::int AS n FROM readings');
    const before = await rows();
    const { home } = mesh;
    await mesh.down();
    const state = path.join(home, 'test');
    const backup = path.join(home, 'backup');
    await copyAll(state, backup);
    renameSync(state, path.join(home, 'lost'));
    renameSync(backup, state);
    mesh = await startMesh({ nodes: 2, home });
    assert.deepEqual(await rows(), before);
    const verdicts = (await mesh.verify()).invariants.map(({ id, ok }) => [id, ok] as const);
    for (const id of ['I1', 'I2', 'I6'])
      assert.deepEqual(
        verdicts.find(([each]) => each === id),
        [id, true],
      );
  });
});
