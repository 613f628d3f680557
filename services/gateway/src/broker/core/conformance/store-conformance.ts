/**
 * The suite that every implementation of the store's port must pass: LMDB and the one in memory.
 */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { numberKey } from '../keys.ts';
import { keyBytesMax, type Operation, type Store } from '../ports.ts';

/** A store under test. */
export interface Subject {
  store: Store;
  /** Closes the store and opens the same content again; undefined if the content is lost then. */
  reopen?: () => Promise<Store>;
  end: () => Promise<void>;
}

const put = (key: number, value: string | Buffer): Operation => ({
  table: 'drain',
  key: numberKey(key),
  value: Buffer.from(value),
});
const remove = (key: number): Operation => ({ table: 'drain', key: numberKey(key) });

/** Registers the suite. */
export function storeConformance(name: string, open: () => Promise<Subject>): void {
  function check(title: string, body: (subject: Subject) => Promise<void>): void {
    it(title, async () => {
      const subject = await open();
      try {
        await body(subject);
      } finally {
        await subject.end();
      }
    });
  }
  const texts = (store: Store, range = {}) =>
    [...store.range('drain', range)].map(({ value }) => value.toString());

  describe(`store: ${name}`, () => {
    check('a new store is empty', async ({ store }) => {
      assert.equal(store.get('drain', numberKey(1)), undefined);
      assert.deepEqual([...store.range('drain')], []);
    });

    check('a durable commit is read back from its own table only', async ({ store }) => {
      const commit = store.commit([
        put(1, 'one'),
        { table: 'meta', key: numberKey(1), value: Buffer.from('m') },
      ]);
      await commit.applied;
      await commit.durable;
      assert.equal(store.get('drain', numberKey(1))?.toString(), 'one');
      assert.equal(store.get('meta', numberKey(1))?.toString(), 'm');
      assert.equal(store.get('other', numberKey(1)), undefined);
    });

    check('a key of the maximum size is stored', async ({ store }) => {
      const key = Buffer.alloc(keyBytesMax, 'k');
      await store.commit([{ table: 'meta', key, value: Buffer.from('m') }]).durable;
      assert.equal(store.get('meta', key)?.toString(), 'm');
    });

    check('operations take effect in their order, commits in the order of the calls', async ({ store }) => {
      const first = store.commit([put(1, 'a'), remove(1), put(2, 'a'), put(2, 'b')]);
      const second = store.commit([put(1, 'c'), remove(2), remove(99)]);
      await Promise.all([first.durable, second.durable]);
      assert.deepEqual(texts(store), ['c']);
    });

    check('a range is in key order, with start inclusive, end exclusive and a limit', async ({ store }) => {
      await store.commit([3, 1, 2 ** 40, 2, 300].map((key) => put(key, String(key)))).durable;
      assert.deepEqual(texts(store), ['1', '2', '3', '300', String(2 ** 40)]);
      assert.deepEqual(texts(store, { start: numberKey(2), end: numberKey(300) }), ['2', '3']);
      assert.deepEqual(texts(store, { start: numberKey(2), limit: 2 }), ['2', '3']);
      assert.deepEqual([...store.keys('drain', { end: numberKey(3) })], [numberKey(1), numberKey(2)]);
    });

    check('a reverse range keeps the meaning of start and end', async ({ store }) => {
      await store.commit([1, 2, 3, 5].map((key) => put(key, String(key)))).durable;
      assert.deepEqual(texts(store, { reverse: true }), ['5', '3', '2', '1']);
      assert.deepEqual(texts(store, { reverse: true, end: numberKey(3), limit: 1 }), ['2']);
      assert.deepEqual(texts(store, { reverse: true, end: numberKey(4), limit: 1 }), ['3']);
      assert.deepEqual(texts(store, { reverse: true, end: numberKey(99), limit: 1 }), ['5']);
      assert.deepEqual(texts(store, { reverse: true, start: numberKey(2), end: numberKey(5) }), ['3', '2']);
      assert.deepEqual(texts(store, { reverse: true, end: numberKey(1), limit: 1 }), []);
    });

    check('a value that was read does not change with later reads and writes', async ({ store }) => {
      const large = Buffer.alloc(300_000, 7);
      await store.commit([put(1, 'first'), put(2, large), put(3, 'third')]).durable;
      const one = store.get('drain', numberKey(1))!;
      const all = [...store.range('drain')];
      await store.commit([put(1, 'other'), put(2, Buffer.alloc(300_000, 9)), remove(3)]).durable;
      for (let key = 1; key <= 2; key++) store.get('drain', numberKey(key));
      assert.equal(one.toString(), 'first');
      assert.deepEqual(
        all.map(({ value }) => value.length),
        [5, 300_000, 5],
      );
      assert.ok(all[1]!.value.equals(large));
      assert.deepEqual(
        all.map(({ key }) => key),
        [1, 2, 3].map(numberKey),
      );
    });

    check('durable commits are there when the store is opened again', async ({ store, reopen }) => {
      await store.commit([put(1, 'one'), put(2, 'two')]).durable;
      await store.commit([remove(1)]).durable;
      if (reopen === undefined) return;
      assert.deepEqual(texts(await reopen()), ['two']);
    });
  });
}
