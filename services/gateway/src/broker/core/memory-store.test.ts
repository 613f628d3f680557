import assert from 'node:assert/strict';
import { it } from 'node:test';
import { MeshError } from '@thermomesh/runtime';
import { storeConformance } from './conformance/store-conformance.ts';
import { numberKey } from './keys.ts';
import { createMemoryStore } from './memory-store.ts';

storeConformance('memory', async () => {
  const store = createMemoryStore();
  return { store, reopen: async () => store, end: () => store.close() };
});

it('a commit is applied but not durable while the sync is held', async () => {
  const store = createMemoryStore();
  store.holdSync();
  let durable = false;
  const commit = store.commit([{ table: 'drain', key: numberKey(1), value: Buffer.from('x') }]);
  void commit.durable.then(() => (durable = true));
  await commit.applied;
  await new Promise(setImmediate);
  assert.ok(store.get('drain', numberKey(1)));
  assert.equal(durable, false);
  store.releaseSync();
  await commit.durable;
});

it('a failing commit writes nothing', async () => {
  const store = createMemoryStore();
  store.failCommits(new MeshError('store.full', 'no space'));
  const commit = store.commit([{ table: 'drain', key: numberKey(1), value: Buffer.from('x') }]);
  await assert.rejects(commit.durable, { code: 'store.full' });
  assert.equal(store.get('drain', numberKey(1)), undefined);
});
