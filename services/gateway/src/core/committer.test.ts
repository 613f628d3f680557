import assert from 'node:assert/strict';
import { it } from 'node:test';
import { MeshError } from '@thermomesh/runtime';
import { createCommitter, type StoreState, type WorkKind } from './committer.ts';
import { numberKey } from './keys.ts';
import { createMemoryStore } from './memory-store.ts';
import type { Operation } from './store.ts';

const full = new MeshError('store.full', 'no space', { retriable: true });
const put = (key: number): Operation => ({ table: 'drain', key: numberKey(key), value: Buffer.from('x') });
const remove = (key: number): Operation => ({ table: 'drain', key: numberKey(key) });

function setup(lingerMs = 0) {
  const store = createMemoryStore();
  const states: StoreState['state'][] = [];
  const committer = createCommitter({
    store,
    lingerMs,
    retry: { minMs: 1, maxMs: 4 },
    onState: ({ state }) => states.push(state),
  });
  const done: string[] = [];
  const submit = (name: string, kind: WorkKind, ...operations: Operation[]) =>
    committer.submit(kind, () => operations).then(() => void done.push(name));
  return { store, states, committer, done, submit };
}

it('work that comes together is one commit, and is told in order', async () => {
  const { store, done, submit } = setup(1);
  await Promise.all([
    submit('a', 'append', put(1)),
    submit('b', 'housekeeping', put(2)),
    submit('c', 'append', put(3)),
  ]);
  assert.deepEqual([store.commits, done], [1, ['a', 'b', 'c']]);
});

it('hurried work does not linger, whether it is told before the commit before it has ended or after', async () => {
  const { store, committer, done, submit } = setup(60_000);
  const first = submit('a', 'append', put(1));
  committer.hurry();
  store.holdSync();
  while (store.commits === 0) await new Promise(setImmediate);
  const second = submit('b', 'append', put(2));
  committer.hurry();
  store.releaseSync();
  await Promise.all([first, second]);
  assert.deepEqual([store.commits, done], [2, ['a', 'b']]);
});

it('work submitted by what has just been told is not forgotten', async () => {
  const { done, submit } = setup();
  await submit('a', 'append', put(1))
    .then(() => submit('b', 'append', put(2)))
    .then(() => submit('c', 'append'));
  assert.deepEqual(done, ['a', 'b', 'c']);
});

it('nothing is told before it is durable', async () => {
  const { store, done, submit } = setup();
  store.holdSync();
  const told = submit('a', 'append', put(1));
  while (store.commits === 0) await new Promise(setImmediate);
  for (let turn = 0; turn < 10; turn++) await new Promise(setImmediate);
  assert.deepEqual(done, []);
  store.releaseSync();
  await told;
});

it('a full store: appends wait, removals go on, everything is told in the end, states once each', async () => {
  const { store, states, done, submit } = setup();
  await submit('first', 'append', put(1));
  store.failCommits(full, (operations) => operations.some(({ value }) => value !== undefined));
  const appends = [submit('a', 'append', put(2)), submit('b', 'append', put(3))];
  await submit('removed', 'housekeeping', remove(1));
  assert.deepEqual([[...store.keys('drain')].length, done], [0, ['first', 'removed']]);
  await submit('removed too', 'housekeeping', remove(99));
  assert.deepEqual(states, ['full']);
  store.failCommits(undefined);
  await Promise.all(appends);
  assert.deepEqual(done.slice(-2), ['a', 'b']);
  await submit('after', 'append', put(4));
  assert.deepEqual(states, ['full', 'ok']);
});

it('operations are put together once, however often their commit is tried', async () => {
  const { store, committer } = setup();
  store.failCommits(full);
  let prepared = 0;
  const told = committer.submit('append', () => {
    prepared += 1;
    return [put(prepared)];
  });
  while (committer.state.state === 'ok') await new Promise(setImmediate);
  for (let turn = 0; turn < 5; turn++) await new Promise((resolve) => setTimeout(resolve, 2));
  store.failCommits(undefined);
  await told;
  assert.equal(prepared, 1);
});

it('closed while full: what waits is told that the store is closed', async () => {
  const { store, committer, submit } = setup();
  store.failCommits(full);
  const told = assert.rejects(submit('a', 'append', put(1)), { code: 'store.closed' });
  while (committer.state.state === 'ok') await new Promise(setImmediate);
  await committer.close(1000);
  await told;
  await assert.rejects(submit('b', 'append', put(2)), { code: 'store.closed' });
});

it('closed while it works: what is queued is committed first', async () => {
  const { store, committer, done, submit } = setup(5);
  const told = submit('a', 'append', put(1));
  await committer.close(1000);
  await told;
  assert.deepEqual([store.commits, done], [1, ['a']]);
});
