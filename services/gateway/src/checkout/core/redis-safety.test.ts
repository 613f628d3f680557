import assert from 'node:assert/strict';
import { it } from 'node:test';
import { unsafeBecause } from './redis-safety.ts';

const good = {
  maxmemory_policy: 'noeviction',
  aof_enabled: '1',
  aof_last_write_status: 'ok',
  role: 'master',
};
const info = (fields: Record<string, string>) =>
  Object.entries(fields)
    .map(([name, value]) => `# Heading\r\n${name}:${value}\r\n`)
    .join('');

it('a Redis that may lose work, or that is a replica, is refused', () => {
  assert.equal(unsafeBecause(info(good)), undefined);
  for (const [change, reason] of [
    [{ maxmemory_policy: 'allkeys-lru' }, /allkeys-lru, not noeviction/],
    [{ aof_enabled: '0' }, /appendonly is off/],
    [{ aof_last_write_status: 'err' }, /cannot be written/],
    [{ role: 'slave' }, /writes are refused/],
  ] as const)
    assert.match(unsafeBecause(info({ ...good, ...change })) ?? '', reason);
  assert.match(unsafeBecause('') ?? '', /unknown, not noeviction/);
});
