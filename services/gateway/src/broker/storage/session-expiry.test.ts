import assert from 'node:assert/strict';
import { it } from 'node:test';
import { createCommitter } from './committer.ts';
import { createMemoryStore } from '../core/memory-store.ts';
import { createSessionExpiry } from './session-expiry.ts';

function watch(store = createMemoryStore(), startedAt = 0) {
  const committer = createCommitter({
    store,
    lingerMs: 0,
    retry: { minMs: 1, maxMs: 2 },
    onState: () => undefined,
  });
  const names = new Set(['a', 'b']);
  const connected = new Set<string>();
  const expired: string[] = [];
  let now = startedAt;
  let finish: () => void = () => undefined;
  const expiry = createSessionExpiry({
    sessions: {
      list: () => [...names].map((clientId) => ({ clientId, queued: 1, subscriptions: [] })),
      clear: (clientId) =>
        new Promise((resolve) => {
          finish = () => {
            names.delete(clientId);
            resolve();
          };
        }),
    },
    store,
    committer,
    expiryMs: 1000,
    isConnected: (clientId) => connected.has(clientId),
    now: () => now,
    onExpired: (clientId) => expired.push(clientId),
  });
  const at = (time: number) => {
    now = time;
    expiry.sweep();
  };
  const settled = () => committer.submit('housekeeping', () => []);
  return { store, names, settled, expiry, connected, expired, at, finish: () => finish() };
}

it('a session ends once its client has been away for the whole time', () => {
  const { connected, expired, at } = watch();
  connected.add('a');
  at(0);
  at(900);
  connected.delete('a');
  at(999);
  assert.deepEqual(expired, []);
  at(1000);
  assert.deepEqual(expired, ['b']);
  at(1899);
  assert.deepEqual(expired, ['b']);
  at(1900);
  assert.deepEqual(expired, ['b', 'a']);
});

it('a client that is about to connect keeps its session', () => {
  const { expiry, expired, at } = watch();
  at(0);
  at(999);
  assert.equal(expiry.enter('a'), undefined);
  at(1500);
  assert.deepEqual(expired, ['b']);
});

it('a client waits for the end of its session that has begun', async () => {
  const { expiry, connected, expired, at, finish } = watch();
  connected.add('b');
  at(0);
  at(1000);
  assert.deepEqual(expired, ['a']);
  const ended = expiry.enter('a');
  at(3000);
  assert.deepEqual(expired, ['a'], 'it does not end twice');
  finish();
  await ended;
  assert.equal(expiry.enter('a'), undefined);
});

it('a restart does not begin the time again, and downtime does not count', async () => {
  const first = watch();
  first.connected.add('a');
  first.at(0);
  first.at(600);
  await first.settled();
  // The clock of the next process begins anywhere; the gateway was down for a long time.
  const second = watch(first.store, 5_000_000);
  second.at(5_000_399);
  assert.deepEqual(second.expired, []);
  second.at(5_000_400);
  assert.deepEqual(second.expired, ['b'], '600 ms before the restart, 400 ms after it');
  second.at(5_001_398);
  assert.deepEqual(second.expired, ['b']);
  second.at(5_001_399);
  assert.deepEqual(second.expired, ['b', 'a'], 'a was here until the restart');
});

it('a client that comes back is no longer stored as away, nor is an ended session', async () => {
  const { store, names, settled, connected, at } = watch();
  const away = () => [...store.keys('away')].map(String);
  at(0);
  await settled();
  assert.deepEqual(away(), ['a', 'b']);
  connected.add('a');
  names.delete('b');
  at(100);
  await settled();
  assert.deepEqual(away(), []);
  const { commits } = store;
  at(200);
  await settled();
  assert.equal(store.commits, commits, 'nothing is written while everybody is here');
});

it('a store that takes no writes gathers no more than one of them', async () => {
  const { store, settled, at, expired } = watch();
  store.holdSync();
  for (let time = 0; time < 900; time += 100) at(time);
  while (store.commits === 0) await new Promise(setImmediate);
  assert.equal(store.commits, 1);
  store.releaseSync();
  await settled();
  at(1000);
  assert.deepEqual(expired, ['a', 'b']);
});
