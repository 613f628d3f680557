import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, utimesSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { afterEach, beforeEach, describe, it } from 'node:test';
import { createLog, MeshError } from '@thermomesh/runtime';
import { openFsBlobs } from './adapters/fs-blobs.ts';
import { until } from '@thermomesh/testing';
import type { JobView } from './core/jobs.ts';
import type { BlobStore } from './core/ports.ts';
import { createJanitor, type JanitorOptions } from './janitor.ts';

const hourMs = 3_600_000;
const log = createLog('test', 'silent');
let folder: string;
let blobs: BlobStore;

beforeEach(async () => {
  folder = mkdtempSync(path.join(os.tmpdir(), 'thermomesh-janitor-'));
  blobs = await openFsBlobs({ folder });
});
afterEach(() => rmSync(folder, { recursive: true }));

async function leave(id: string, ageMs: number): Promise<void> {
  await blobs.put(`jobs/${id}/input`, Buffer.from('x'));
  const at = (Date.now() - ageMs) / 1_000;
  for (const name of [`jobs/${id}/input`, `jobs/${id}`]) utimesSync(path.join(folder, name), at, at);
}

const ids = async () => (await blobs.listJobs()).map(({ id }) => id).sort();
const janitor = (read: (id: string) => Promise<JobView | undefined>, over: Partial<JanitorOptions> = {}) =>
  createJanitor({ blobs, jobs: { read }, orphanAgeMs: hourMs, intervalMs: 5, log, ...over });

describe('the janitor', () => {
  it('the janitor removes only old files that belong to no job', async () => {
    await leave('orphan', 2 * hourMs);
    await leave('uploading', hourMs / 2);
    await leave('job', 2 * hourMs);
    await leave('damaged', 2 * hourMs);
    const removed: number[] = [];
    const one = janitor(
      async (id) => {
        if (id === 'damaged') throw new MeshError('jobs.damaged', 'unreadable');
        return id === 'job' ? ({} as JobView) : undefined;
      },
      { onRemoved: () => void removed.push(1) },
    );
    assert.deepEqual(await one.sweep(), ['orphan']);
    assert.deepEqual(await ids(), ['damaged', 'job', 'uploading']);
    assert.equal(removed.length, 1);
  });

  it('the janitor removes nothing while jobs cannot be read, and retries later', async () => {
    await leave('orphan', 2 * hourMs);
    let away = true;
    let asked = 0;
    const one = janitor(async () => {
      asked += 1;
      if (away) throw new MeshError('jobs.unavailable', 'no answer', { retriable: true });
      return undefined;
    });
    one.start();
    await until('some looks', () => asked >= 3);
    assert.deepEqual(await ids(), ['orphan']);
    away = false;
    await until('the removal', async () => (await ids()).length === 0);
    await one.stop();
    await one.stop();
  });
});
