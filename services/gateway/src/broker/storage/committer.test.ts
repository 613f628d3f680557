import assert from 'node:assert/strict';
import { it } from 'node:test';
import { codeOf, MeshError } from '@thermomesh/runtime';
import { createCommitter, type StoreState, type WorkKind } from './committer.ts';
import { numberKey } from '../core/keys.ts';
import { createMemoryStore } from '../core/memory-store.ts';
import { keyBytesMax, type Operation } from '../core/ports.ts';

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

it('work that comes together is one commit, and its promises resolve in order', async () => {
  const { store, done, submit } = setup(1);
  await Promise.all([
    submit('a', 'append', put(1)),
    submit('b', 'housekeeping', put(2)),
    submit('c', 'append', put(3)),
  ]);
  assert.deepEqual([store.commits, done], [1, ['a', 'b', 'c']]);
});

it('hurried work does not linger, also if it is hurried during a commit', async () => {
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

it('a key that no store holds fails its own work, and no other', async () => {
  const { done, submit } = setup();
  const key = Buffer.alloc(keyBytesMax + 1, 'k');
  await Promise.all([
    submit('a', 'append', put(1)),
    assert.rejects(submit('long', 'housekeeping', put(2), { table: 'drain', key }), {
      code: 'store.bad_key',
    }),
    assert.rejects(submit('empty', 'append', { ...put(3), key: Buffer.alloc(0) }), { code: 'store.bad_key' }),
    submit('b', 'append', put(4)),
  ]);
  assert.deepEqual(done, ['a', 'b']);
});

it('work submitted when earlier work resolves is committed too', async () => {
  const { done, submit } = setup();
  await submit('a', 'append', put(1))
    .then(() => submit('b', 'append', put(2)))
    .then(() => submit('c', 'append'));
  assert.deepEqual(done, ['a', 'b', 'c']);
});

it('no work resolves before it is durable', async () => {
  const { store, done, submit } = setup();
  store.holdSync();
  const submitted = submit('a', 'append', put(1));
  while (store.commits === 0) await new Promise(setImmediate);
  for (let turn = 0; turn < 10; turn++) await new Promise(setImmediate);
  assert.deepEqual(done, []);
  store.releaseSync();
  await submitted;
});

it('while the store is full appends wait and removals are committed', async () => {
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

it('operations are composed once, however often their commit is tried', async () => {
  const { store, committer } = setup();
  store.failCommits(full);
  let prepared = 0;
  const submitted = committer.submit('append', () => {
    prepared += 1;
    return [put(prepared)];
  });
  while (committer.state.state === 'ok') await new Promise(setImmediate);
  for (let turn = 0; turn < 5; turn++) await new Promise((resolve) => setTimeout(resolve, 2));
  store.failCommits(undefined);
  await submitted;
  assert.equal(prepared, 1);
});

it('closing while the store is full rejects waiting work with store.closed', async () => {
  const { store, committer, submit } = setup();
  store.failCommits(full);
  const submitted = assert.rejects(submit('a', 'append', put(1)), { code: 'store.closed' });
  while (committer.state.state === 'ok') await new Promise(setImmediate);
  await committer.close(1000);
  await submitted;
  await assert.rejects(submit('b', 'append', put(2)), { code: 'store.closed' });
});

it('closing commits queued work first', async () => {
  const { store, committer, done, submit } = setup(5);
  const submitted = submit('a', 'append', put(1));
  await committer.close(1000);
  await submitted;
  assert.deepEqual([store.commits, done], [1, ['a']]);
});

it('closing does not wait for work that never ends', async () => {
  const { store, committer, done, submit } = setup(1);
  const refused: unknown[] = [];
  // More work comes during each commit, as from publishers that never pause.
  store.failCommits(full, () => {
    if (store.commits > 1000) return false;
    submit('more', 'append', put(done.length)).catch((error: unknown) => refused.push(codeOf(error)));
    return false;
  });
  void submit('first', 'append', put(0));
  while (done.length < 10) await new Promise(setImmediate);
  // No test waits this long: the deadline plays no part.
  await committer.close(3_600_000);
  assert.deepEqual(refused, ['store.closed']);
});

it('work that comes while the committer closes is refused', async () => {
  const { store, committer, done, submit } = setup();
  store.holdSync();
  const first = submit('a', 'append', put(1));
  while (store.commits === 0) await new Promise(setImmediate);
  const second = submit('b', 'append', put(2));
  const closed = committer.close(3_600_000);
  const late = submit('c', 'append', put(3)).then(() => 'committed', codeOf);
  store.releaseSync();
  assert.equal(await late, 'store.closed');
  await Promise.all([first, second, closed]);
  assert.deepEqual(done, ['a', 'b']);
});
