import assert from 'node:assert/strict';
import {
  existsSync,
  mkdtempSync,
  readdirSync,
  rmSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { it } from 'node:test';
import { blobStoreConformance } from '../core/conformance/blob-store.ts';
import { openFsBlobs } from './fs-blobs.ts';

const newFolder = () => mkdtempSync(path.join(os.tmpdir(), 'thermomesh-blobs-'));

blobStoreConformance('a shared folder', async () => {
  const folder = newFolder();
  return {
    blobs: await openFsBlobs({ folder }),
    remains: async () =>
      readdirSync(folder, { recursive: true })
        .map(String)
        .filter((name) => name !== 'jobs'),
    end: async () => rmSync(folder, { recursive: true }),
  };
});

it('nodes that share the folder see each other’s blobs', async () => {
  const folder = newFolder();
  try {
    const [one, other] = [await openFsBlobs({ folder }), await openFsBlobs({ folder })];
    await one.put('jobs/a/table', Buffer.from('x'));
    assert.equal(String(await other.read('jobs/a/table')), 'x');
  } finally {
    rmSync(folder, { recursive: true });
  }
});

it('the age of a job is that of its latest file, and other names are ignored', async () => {
  const folder = newFolder();
  try {
    const blobs = await openFsBlobs({ folder });
    await blobs.put('jobs/old/input', Buffer.from('x'));
    const anHourAgo = Date.now() / 1000 - 3_600;
    for (const name of ['jobs/old/input', 'jobs/old']) {
      utimesSync(path.join(folder, name), anHourAgo, anHourAgo);
    }
    writeFileSync(path.join(folder, 'jobs/a file'), '');
    symlinkSync('/', path.join(folder, 'jobs/link'));
    const [job, ...others] = await blobs.listJobs();
    assert.deepEqual([job?.id, others], ['old', []]);
    assert.ok(job!.ageMs >= 3_590_000 && job!.ageMs < 3_700_000, `${job!.ageMs}`);
    await blobs.put('jobs/old/table', Buffer.from('x'));
    assert.ok((await blobs.listJobs())[0]!.ageMs < 60_000);
  } finally {
    rmSync(folder, { recursive: true });
  }
});

it('a folder that cannot be created is an error at the start', async () => {
  const folder = newFolder();
  try {
    writeFileSync(path.join(folder, 'file'), '');
    await assert.rejects(openFsBlobs({ folder: path.join(folder, 'file/below') }));
    assert.ok(existsSync(folder));
  } finally {
    rmSync(folder, { recursive: true });
  }
});
