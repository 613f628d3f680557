import assert from 'node:assert/strict';
import { it } from 'node:test';
import { lockFolder } from './folder-lock.ts';
import { folderFor } from '../../testing.ts';

it('a second gateway cannot lock a folder before the first one has released it', async (t) => {
  const folder = await folderFor(t);
  const first = await lockFolder(folder, 100);
  await assert.rejects(lockFolder(folder, 100), { code: 'folder.locked' });
  const second = lockFolder(folder, 5_000);
  await first.release();
  await (await second).release();
});
