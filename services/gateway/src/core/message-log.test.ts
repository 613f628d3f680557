import assert from 'node:assert/strict';
import { it } from 'node:test';
import { createCommitter } from './committer.ts';
import { indexAfter, logIdAt, messageAt, type GroupKey } from './group.ts';
import { createMemoryStore, type MemoryStore } from './memory-store.ts';
import { openMessageLog, type GroupTable, type LogMessage, type MessageLog } from './message-log.ts';
import type { Operation } from './store.ts';

async function open(store: MemoryStore) {
  const committer = createCommitter({
    store,
    lingerMs: 0,
    retry: { minMs: 1, maxMs: 2 },
    onState: () => undefined,
  });
  const log = await openMessageLog(store, committer);
  return { log, committer, store, settled: () => committer.submit('housekeeping', () => []) };
}

/** Appends messages as the intake does. */
async function append(
  log: MessageLog,
  store: MemoryStore,
  texts: string[],
  references = 0,
  table: GroupTable = 'drain',
) {
  const messages: LogMessage[] = texts.map((text) => ({
    logId: log.allocate(),
    receivedAtMs: 1,
    topic: 'thermostat/data/d1',
    payload: Buffer.from(text),
    references,
  }));
  const operations: Operation[] = [];
  const groups = log.prepare(table, messages, operations);
  await store.commit([...operations, ...log.counters()]).durable;
  log.committed(groups);
  log.deliverable(groups);
  return groups.map(({ group }) => group);
}

function drainAll(log: MessageLog): string[] {
  const texts: string[] = [];
  for (
    let group = log.nextDrainGroup(undefined);
    group !== undefined;
    group = log.nextDrainGroup(group.firstLogId)
  ) {
    for (let index = indexAfter(group, log.drainedLogId); index < group.count; index++) {
      texts.push(messageAt(group, index, true).payload.toString());
    }
  }
  return texts;
}

const terms = ({ accepted, buffered, storedBytes }: MessageLog) => ({
  accepted,
  buffered,
  stored: storedBytes > 0,
});

it('counts, delivers in order, and forgets what is acknowledged', async () => {
  const { log, store, settled } = await open(createMemoryStore());
  const [one] = await append(log, store, ['a', 'b']);
  const [two] = await append(log, store, ['c']);
  assert.deepEqual(terms(log), { accepted: 3, buffered: 3, stored: true });
  assert.deepEqual(drainAll(log), ['a', 'b', 'c']);
  log.drained(one!.lastLogId, 2, [one!]);
  assert.deepEqual(drainAll(log), ['c']);
  log.drained(two!.lastLogId, 1, [two!]);
  await settled();
  assert.deepEqual(terms(log), { accepted: 3, buffered: 0, stored: false });
  assert.deepEqual([...store.keys('drain')], []);
});

it('opened again: the same counters, the same messages, in the middle of a group too; other numbers', async () => {
  const store = createMemoryStore();
  const first = await open(store);
  const [group] = await append(first.log, store, ['a', 'b', 'c']);
  await append(first.log, store, ['d']);
  first.log.drained(logIdAt(group!, 0), 1, []);
  await first.settled();
  const { log } = await open(store);
  assert.deepEqual([log.uuid, terms(log)], [first.log.uuid, { accepted: 4, buffered: 3, stored: true }]);
  assert.deepEqual(drainAll(log), ['b', 'c', 'd']);
  assert.ok(log.allocate() > group!.lastLogId + 1);
  assert.equal(log.storedBytes, first.log.storedBytes);
});

it('a group is kept while a session refers to it, without counting as buffered, over a restart too', async () => {
  const store = createMemoryStore();
  const first = await open(store);
  const [group] = await append(first.log, store, ['a', 'b'], 1);
  first.log.drained(group!.lastLogId, 2, [group!]);
  await first.settled();
  const { log } = await open(store);
  assert.deepEqual(terms(log), { accepted: 2, buffered: 0, stored: true });
  assert.deepEqual(drainAll(log), []);
  await store.commit(log.unreference('drain', group!.key, 1)).durable;
  assert.ok(log.read('drain', group!.key));
  await store.commit(log.unreference('drain', group!.key, 1)).durable;
  assert.equal(log.read('drain', group!.key), undefined);
  assert.deepEqual([log.storedBytes, [...store.keys('refs')]], [0, []]);
});

it('a session that lets go first leaves the group to the drain session', async () => {
  const { log, store, settled } = await open(createMemoryStore());
  const [group] = await append(log, store, ['a'], 1);
  await store.commit(log.unreference('drain', group!.key, 1)).durable;
  assert.deepEqual(drainAll(log), ['a']);
  log.drained(group!.lastLogId, 1, [group!]);
  await settled();
  assert.deepEqual([...store.keys('drain')], []);
});

it('messages for other sessions alone are no business of the drain session', async () => {
  const { log, store } = await open(createMemoryStore());
  const [group] = await append(log, store, ['a'], 1, 'other');
  assert.deepEqual([terms(log), drainAll(log)], [{ accepted: 0, buffered: 0, stored: true }, []]);
  await store.commit(log.unreference('other', group!.key, 1)).durable;
  assert.deepEqual([...store.keys('other')], []);
});

it('large appends are cut into groups, and a tail longer than memory allows is read from the store', async () => {
  const { log, store } = await open(createMemoryStore());
  const texts = Array.from({ length: 90 }, (_, index) => String(index).padEnd(250_000));
  for (let at = 0; at < texts.length; at += 30) await append(log, store, texts.slice(at, at + 30));
  assert.equal([...store.keys('drain')].length, 90);
  assert.deepEqual(
    drainAll(log).map(Number),
    Array.from({ length: 90 }, (_, index) => index),
  );
});

it('nothing is delivered before it may be', async () => {
  const { log, store } = await open(createMemoryStore());
  await append(log, store, ['a']);
  const operations: Operation[] = [];
  const held = log.prepare(
    'drain',
    [{ logId: log.allocate(), receivedAtMs: 1, topic: 't', payload: Buffer.from('b'), references: 0 }],
    operations,
  );
  await store.commit(operations).durable;
  assert.deepEqual(drainAll(log), ['a']);
  log.deliverable(held);
  assert.deepEqual(drainAll(log), ['a', 'b']);
});

it('empty log: a new drain session finds nothing', async () => {
  const { log } = await open(createMemoryStore());
  const none: GroupKey | undefined = log.nextDrainGroup(undefined);
  assert.deepEqual([none, log.oldestReceivedAtMs()], [undefined, null]);
});
