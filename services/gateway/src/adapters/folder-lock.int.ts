import assert from 'node:assert/strict';
import { it } from 'node:test';
import { lockFolder } from './folder-lock.ts';
import { temporaryFolder } from './testing/gateway.ts';

it('a second gateway cannot open the same folder, and can once the first has ended', async (t) => {
  const folder = await temporaryFolder(t);
  const first = await lockFolder(folder, 100);
  await assert.rejects(lockFolder(folder, 100), { code: 'folder.locked' });
  const second = lockFolder(folder, 5_000);
  await first.release();
  await (await second).release();
});
