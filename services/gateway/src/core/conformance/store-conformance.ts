/** What every engine behind the store's port must do; LMDB and the one in memory are both held to it. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { numberKey } from '../keys.ts';
import type { Operation, Store } from '../store.ts';

export interface Subject {
  store: Store;
  /** Closes the store and opens the same content again; undefined if the engine keeps nothing. */
  reopen?: () => Promise<Store>;
  end: () => Promise<void>;
}

const put = (key: number, value: string | Buffer): Operation => ({
  table: 'drain',
  key: numberKey(key),
  value: Buffer.from(value),
});
const remove = (key: number): Operation => ({ table: 'drain', key: numberKey(key) });

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
    check('has nothing at first', async ({ store }) => {
      assert.equal(store.get('drain', numberKey(1)), undefined);
      assert.deepEqual([...store.range('drain')], []);
    });

    check('a durable commit is read back, and tables are apart', async ({ store }) => {
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

    check(
      'operations of a commit take effect in order, commits in the order of the calls',
      async ({ store }) => {
        const first = store.commit([put(1, 'a'), remove(1), put(2, 'a'), put(2, 'b')]);
        const second = store.commit([put(1, 'c'), remove(2), remove(99)]);
        await Promise.all([first.durable, second.durable]);
        assert.deepEqual(texts(store), ['c']);
      },
    );

    check('ranges are in key order: start inclusive, end exclusive, limit', async ({ store }) => {
      await store.commit([3, 1, 2 ** 40, 2, 300].map((key) => put(key, String(key)))).durable;
      assert.deepEqual(texts(store), ['1', '2', '3', '300', String(2 ** 40)]);
      assert.deepEqual(texts(store, { start: numberKey(2), end: numberKey(300) }), ['2', '3']);
      assert.deepEqual(texts(store, { start: numberKey(2), limit: 2 }), ['2', '3']);
      assert.deepEqual([...store.keys('drain', { end: numberKey(3) })], [numberKey(1), numberKey(2)]);
    });

    check('reverse ranges keep the meaning of start and end', async ({ store }) => {
      await store.commit([1, 2, 3, 5].map((key) => put(key, String(key)))).durable;
      assert.deepEqual(texts(store, { reverse: true }), ['5', '3', '2', '1']);
      assert.deepEqual(texts(store, { reverse: true, end: numberKey(3), limit: 1 }), ['2']);
      assert.deepEqual(texts(store, { reverse: true, end: numberKey(4), limit: 1 }), ['3']);
      assert.deepEqual(texts(store, { reverse: true, end: numberKey(99), limit: 1 }), ['5']);
      assert.deepEqual(texts(store, { reverse: true, start: numberKey(2), end: numberKey(5) }), ['3', '2']);
      assert.deepEqual(texts(store, { reverse: true, end: numberKey(1), limit: 1 }), []);
    });

    check('what was read stays as it was, whatever is read or written later', async ({ store }) => {
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

    check('what was durable is there after it was opened again', async ({ store, reopen }) => {
      await store.commit([put(1, 'one'), put(2, 'two')]).durable;
      await store.commit([remove(1)]).durable;
      if (reopen === undefined) return;
      assert.deepEqual(texts(await reopen()), ['two']);
    });
  });
}
