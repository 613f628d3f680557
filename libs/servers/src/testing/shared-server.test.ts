import assert from 'node:assert/strict';
import { it } from 'node:test';
import { sharedServer } from './shared-server.ts';

it('users share one server, and the last one to release it stops it once', async () => {
  const log: string[] = [];
  let count = 0;
  const acquire = sharedServer(
    async () => {
      count += 1;
      log.push(`start ${count}`);
      return count;
    },
    async (server) => void log.push(`stop ${server}`),
  );
  const [first, second] = await Promise.all([acquire(), acquire()]);
  assert.deepEqual([first.server, second.server], [1, 1]);
  await first.release();
  await first.release();
  assert.deepEqual(log, ['start 1']);
  await second.release();
  const third = await acquire();
  await third.release();
  assert.deepEqual(log, ['start 1', 'stop 1', 'start 2', 'stop 2']);
});
