import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { createPollingWatch } from './polling-watch.ts';

interface Row {
  id: string;
  value: number;
}

const longMs = 10_000;

/** A store whose rows and failures the test sets, with the keys of every query. */
function world(options: { pollMs?: number; onError?: (error: unknown) => void } = {}) {
  const rows = new Map<string, Row>();
  const queries: string[][] = [];
  const state = { failing: false };
  let asked = Promise.withResolvers<void>();
  const watch = createPollingWatch<string, Row>({
    pollMs: options.pollMs ?? 1,
    keyText: (id) => id,
    foundText: ({ id }) => id,
    ...(options.onError === undefined ? {} : { onError: options.onError }),
    find: async (keys) => {
      queries.push(keys);
      asked.resolve();
      asked = Promise.withResolvers();
      if (state.failing) throw new Error('the database is away');
      return keys.flatMap((id) => rows.get(id) ?? []);
    },
  });
  const add = (id: string) => rows.set(id, { id, value: queries.length });
  /** Resolves when the query with this number, from 1, begins; all before it are answered then. */
  const query = async (number: number) => {
    while (queries.length < number) await asked.promise;
  };
  return { add, queries, query, watch, state };
}

describe('a polling watch', () => {
  it('one query per poll serves a thousand callers, with each key once', async () => {
    const { add, queries, query, watch } = world();
    const waits = Array.from({ length: 1_000 }, async (_, n) => watch.wait(n % 2 === 0 ? 'a' : 'b'));
    assert.equal(watch.size, 2);
    await query(3);
    add('a');
    add('b');
    const found = await Promise.all(waits);
    assert.deepEqual(
      found.map((row) => row?.id),
      waits.map((_, n) => (n % 2 === 0 ? 'a' : 'b')),
    );
    assert.ok(queries.every((keys) => keys.length <= 2 && new Set(keys).size === keys.length));
    assert.equal(watch.size, 0);
  });

  it('a caller stops waiting at its timeout, and its key leaves the queries', async () => {
    const { queries, watch } = world();
    const patient = watch.wait('b', { timeoutMs: 60 });
    assert.equal(await watch.wait('a', { timeoutMs: 10 }), undefined);
    const before = queries.length;
    assert.equal(await patient, undefined);
    assert.ok(queries.length > before);
    assert.ok(queries.slice(before + 1).every((keys) => !keys.includes('a')));
  });

  it('a caller stops waiting when its signal aborts, also one that aborted before', async () => {
    const { queries, query, watch } = world();
    assert.equal(await watch.wait('a', { signal: AbortSignal.abort() }), undefined);
    assert.equal(queries.length, 0);
    const leaving = new AbortController();
    const wait = watch.wait('a', { signal: leaving.signal });
    await query(1);
    leaving.abort();
    assert.equal(await wait, undefined);
    assert.equal(watch.size, 0);
  });

  it('no query is made while no caller waits', async () => {
    const { queries, watch } = world();
    assert.equal(await watch.wait('a', { timeoutMs: 5 }), undefined);
    await new Promise((resolve) => setTimeout(resolve, 20));
    const before = queries.length;
    await new Promise((resolve) => setTimeout(resolve, 20));
    assert.equal(queries.length, before);
  });

  it('a failed poll rejects the waits, and later waits poll again', async () => {
    const { add, watch, state } = world();
    add('a');
    state.failing = true;
    await assert.rejects(watch.wait('a', { timeoutMs: longMs }), /the database is away/);
    state.failing = false;
    assert.equal((await watch.wait('a', { timeoutMs: longMs }))?.id, 'a');
  });

  it('with an error handler the callers outlast failed polls', async () => {
    let errors = 0;
    const { add, query, watch, state } = world({ onError: () => (errors += 1) });
    state.failing = true;
    add('a');
    const wait = watch.wait('a', { timeoutMs: longMs });
    await query(3);
    assert.ok(errors >= 2);
    state.failing = false;
    assert.equal((await wait)?.id, 'a');
  });

  it('a wake cuts the pause short for a key with callers only', async () => {
    const { add, queries, query, watch } = world({ pollMs: 2_000 });
    const wait = watch.wait('a');
    await query(1);
    await new Promise((resolve) => setImmediate(resolve));
    watch.wake('b');
    await new Promise((resolve) => setTimeout(resolve, 5));
    assert.equal(queries.length, 1);
    add('a');
    watch.wake('a');
    assert.equal((await wait)?.id, 'a');
    watch.wake('a');
  });
});
