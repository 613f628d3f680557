import assert from 'node:assert/strict';
import { it } from 'node:test';
import type { DropReason } from './session.ts';
import { createSessionQuota } from './session-quota.ts';

function setup() {
  const held = { bytes: 0 };
  const full: string[] = [];
  const dropped: DropReason[] = [];
  const quota = createSessionQuota(
    {
      messagesMax: 2,
      bytesMax: 100,
      onFull: (clientId, reason) => full.push(`${clientId} ${reason}`),
      onDropped: (reason) => dropped.push(reason),
    },
    () => held.bytes,
  );
  const session = { queued: 0, full: undefined as DropReason | undefined };
  return { held, full, dropped, session, admits: () => quota.admits('a', session) };
}

it('a full queue takes nothing new until an entry has left it', () => {
  const { session, full, dropped, admits } = setup();
  session.queued = 1;
  assert.equal(admits(), true);
  session.queued = 2;
  assert.deepEqual([admits(), admits()], [false, false]);
  session.queued = 1;
  assert.equal(admits(), true);
  session.queued = 2;
  assert.equal(admits(), false);
  assert.deepEqual(full, ['a queue_full', 'a queue_full']);
  assert.deepEqual(dropped, ['queue_full', 'queue_full', 'queue_full']);
});

it('a session takes nothing new while all sessions hold too many bytes', () => {
  const { held, full, dropped, admits } = setup();
  held.bytes = 99;
  assert.equal(admits(), true);
  held.bytes = 100;
  assert.equal(admits(), false);
  held.bytes = 50;
  assert.equal(admits(), true);
  assert.deepEqual([full, dropped], [['a sessions_full'], ['sessions_full']]);
});
