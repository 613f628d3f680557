import assert from 'node:assert/strict';
import { it } from 'node:test';
import { childEnvironment } from './config.ts';

it('variables of the caller do not reach the processes under measurement', () => {
  assert.deepEqual(
    childEnvironment({ PATH: '/bin', NODE_OPTIONS: '--inspect', DATABASE_URL: 'x', CRASH_POINT: 'y' }),
    { PATH: '/bin' },
  );
});
