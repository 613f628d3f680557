import assert from 'node:assert/strict';
import type { Readable } from 'node:stream';
import { text } from 'node:stream/consumers';
import { it } from 'node:test';
import type { Checkout } from './core/checkout.ts';
import { createFinalWatch } from './final-watch.ts';
import { createEventStreams } from './event-streams.ts';

const open = (checkoutId: string): Checkout => ({
  id: 1,
  checkoutId,
  status: 'accepted',
  transactionId: 't',
  payer: 'alice',
  amountMinor: 1,
  currency: 'EUR',
  reference: null,
  reason: null,
  createdAtMs: 0,
  finalAtMs: null,
});
const final = (checkoutId: string): Checkout => ({ ...open(checkoutId), status: 'charged', finalAtMs: 1 });

function world(streamsMax = 10, streamsPerCallerMax = 10) {
  const finals = new Map<string, Checkout>();
  const queries: string[][] = [];
  let failing = false;
  let errors = 0;
  const store = {
    finals: async (ids: readonly string[]) => {
      queries.push([...ids]);
      if (failing) throw new Error('PostgreSQL is away');
      return ids.flatMap((id) => finals.get(id) ?? []);
    },
  };
  const watch = createFinalWatch(store, 5, () => (errors += 1));
  const streams = createEventStreams({ watch, streamsMax, streamsPerCallerMax, heartbeatMs: 60_000 });
  return { finals, queries, watch, streams, fail: (on: boolean) => (failing = on), errors: () => errors };
}

const states = (body: string) => [...body.matchAll(/"status":"(\w+)"/g)].map((match) => match[1]);

it('one query serves all streams, and a failed query ends none of them', async () => {
  const { streams, finals, queries, fail, errors } = world();
  fail(true);
  const bodies = ['a', 'a', 'b'].map((id) => text(streams.open('key:1', open(id)) as Readable));
  while (errors() < 2) await new Promise((resolve) => setImmediate(resolve));
  fail(false);
  finals.set('a', final('a')).set('b', final('b'));
  for (const body of await Promise.all(bodies)) assert.deepEqual(states(body), ['accepted', 'charged']);
  assert.ok(queries.every((ids) => new Set(ids).size === ids.length && ids.length <= 2));
  assert.equal(streams.size, 0);
});

it('streams are bounded, closed ones do not count, and a stop ends all', async () => {
  const { streams, watch } = world(2);
  const [first, second] = ['a', 'b'].map((id) => streams.open('key:1', open(id)) as Readable);
  assert.equal(streams.open('key:2', open('c')), 'streams');
  first?.destroy();
  while (streams.size > 1) await new Promise((resolve) => setImmediate(resolve));
  streams.close();
  assert.deepEqual(states(await text(second as Readable)), ['accepted']);
  while (watch.size > 0) await new Promise((resolve) => setImmediate(resolve));
  assert.deepEqual(states(await text(streams.open('key:1', final('d')) as Readable)), ['charged']);
});

it('one caller cannot take all streams, and its closed ones do not count', async () => {
  const { streams } = world(10, 2);
  const mine = ['a', 'b'].map((id) => streams.open('key:1', open(id)) as Readable);
  assert.equal(streams.open('key:1', open('c')), 'streams_of_caller');
  const theirs = streams.open('key:2', open('c')) as Readable;
  mine[0]?.destroy();
  while (streams.size > 2) await new Promise((resolve) => setImmediate(resolve));
  const again = streams.open('key:1', open('d')) as Readable;
  for (const stream of [mine[1], theirs, again]) stream?.destroy();
  while (streams.size > 0) await new Promise((resolve) => setImmediate(resolve));
});
