import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { createCommitter } from './committer.ts';
import { indexAfter, logIdAt, messageAt, type GroupKey } from '../core/group.ts';
import { createMemoryStore, type MemoryStore } from '../core/memory-store.ts';
import type { GroupTable, LogMessage, MessageLog } from '../core/message-log.ts';
import { openMessageLog, type KeptOptions } from './message-log.ts';
import type { Operation } from '../core/ports.ts';

async function open(store: MemoryStore, kept?: KeptOptions) {
  const committer = createCommitter({
    store,
    lingerMs: 0,
    retry: { minMs: 1, maxMs: 2 },
    onState: () => undefined,
  });
  const log = await openMessageLog(store, committer, kept);
  return { log, committer, store, settled: () => committer.submit('housekeeping', () => []) };
}

/** Appends messages like the intake does. */
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

it('the log counts, delivers in order, and removes acknowledged messages', async () => {
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

it('a log that is opened again has the same messages and uses new log ids', async () => {
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
  assert.deepEqual([first.log.sessionBytes, log.sessionBytes], [0, 0]);
});

it('a group stays while a session refers to it, but does not count as buffered', async () => {
  const store = createMemoryStore();
  const first = await open(store);
  const [group] = await append(first.log, store, ['a', 'b'], 1);
  first.log.drained(group!.lastLogId, 2, [group!]);
  await first.settled();
  assert.deepEqual([first.log.sessionBytes, first.log.storedBytes], [group!.bytes, group!.bytes]);
  const { log } = await open(store);
  assert.deepEqual(terms(log), { accepted: 2, buffered: 0, stored: true });
  assert.equal(log.sessionBytes, group!.bytes);
  assert.deepEqual(drainAll(log), []);
  await store.commit(log.unreference('drain', group!.key, 1)).durable;
  assert.ok(log.read('drain', group!.key));
  await store.commit(log.unreference('drain', group!.key, 1)).durable;
  assert.equal(log.read('drain', group!.key), undefined);
  assert.deepEqual([log.storedBytes, log.sessionBytes, [...store.keys('refs')]], [0, 0, []]);
});

it('a group that no session needs any more stays for the drain session', async () => {
  const { log, store, settled } = await open(createMemoryStore());
  const [group] = await append(log, store, ['a'], 1);
  await store.commit(log.unreference('drain', group!.key, 1)).durable;
  assert.deepEqual(drainAll(log), ['a']);
  log.drained(group!.lastLogId, 1, [group!]);
  await settled();
  assert.deepEqual([...store.keys('drain')], []);
});

it('the drain session does not get messages that only other sessions want', async () => {
  const { log, store } = await open(createMemoryStore());
  const [group] = await append(log, store, ['a'], 1, 'other');
  assert.deepEqual([terms(log), drainAll(log)], [{ accepted: 0, buffered: 0, stored: true }, []]);
  await store.commit(log.unreference('other', group!.key, 1)).durable;
  assert.deepEqual([...store.keys('other')], []);
});

it('a backlog above the memory limit is cut into groups and read from the store', async () => {
  const { log, store } = await open(createMemoryStore());
  const texts = Array.from({ length: 90 }, (_, index) => String(index).padEnd(250_000));
  for (let at = 0; at < texts.length; at += 30) await append(log, store, texts.slice(at, at + 30));
  assert.equal([...store.keys('drain')].length, 90);
  assert.deepEqual(
    drainAll(log).map(Number),
    Array.from({ length: 90 }, (_, index) => index),
  );
});

it('a durable group is not delivered before it is released for delivery', async () => {
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

it('a drain session finds nothing in an empty log', async () => {
  const { log } = await open(createMemoryStore());
  const none: GroupKey | undefined = log.nextDrainGroup(undefined);
  assert.deepEqual([none, log.oldestReceivedAtMs()], [undefined, null]);
});

describe('acknowledged messages that are kept for a restored database', () => {
  const keeping = (bytesMax = 1_000_000, keptMs = 60_000, now = () => 0): KeptOptions => ({
    bytesMax,
    keptMs,
    now,
  });
  /** Appends the groups a b, c d and e, and acknowledges everything up to c. */
  async function drainedUpToC(store: MemoryStore, kept = keeping(), references = 0) {
    const opened = await open(store, kept);
    const [one] = await append(opened.log, store, ['a', 'b'], references);
    const [two] = await append(opened.log, store, ['c', 'd']);
    await append(opened.log, store, ['e']);
    opened.log.drained(one!.lastLogId, 2, [one!]);
    opened.log.drained(logIdAt(two!, 0), 1, []);
    await opened.settled();
    return { ...opened, one: one!, two: two! };
  }

  it('kept messages do not count as buffered, and no session gets them', async () => {
    const { log } = await drainedUpToC(createMemoryStore());
    assert.deepEqual([log.accepted, log.buffered, drainAll(log)], [5, 2, ['d', 'e']]);
    assert.equal(log.storedBytes, log.bufferedBytes);
    assert.deepEqual([log.keptAfterLogId, log.keptBytes > 0], [0, true]);
  });

  it('a database that is behind gets the messages after its place, counted as buffered', async () => {
    const store = createMemoryStore();
    const { log, one } = await drainedUpToC(store);
    await log.sendAgain(one.firstLogId);
    assert.deepEqual([log.accepted, log.buffered, drainAll(log)], [5, 4, ['b', 'c', 'd', 'e']]);
    assert.deepEqual([log.storedBytes, log.keptBytes], [log.bufferedBytes, 0]);
    assert.equal(log.oldestReceivedAtMs(), 1);
    const { log: again } = await open(store, keeping());
    assert.deepEqual([again.accepted, again.buffered, drainAll(again)], [5, 4, ['b', 'c', 'd', 'e']]);
  });

  it('an empty database gets everything that is kept, and acknowledges it again', async () => {
    const store = createMemoryStore();
    const { log, settled } = await drainedUpToC(store);
    await log.sendAgain(0);
    assert.deepEqual([log.buffered, drainAll(log)], [5, ['a', 'b', 'c', 'd', 'e']]);
    for (let group = log.nextDrainGroup(undefined); group; group = log.nextDrainGroup(group.firstLogId))
      log.drained(group.lastLogId, group.count, [group]);
    await settled();
    assert.deepEqual([log.buffered, log.storedBytes, log.bufferedBytes], [0, 0, 0]);
    await log.sendAgain(0);
    assert.equal(log.buffered, 5);
  });

  it('a place that is acknowledged already, or not yet, changes nothing', async () => {
    const { log, two } = await drainedUpToC(createMemoryStore());
    for (const logId of [log.drainedLogId, two.lastLogId, 1_000]) await log.sendAgain(logId);
    assert.deepEqual([log.buffered, drainAll(log)], [2, ['d', 'e']]);
  });

  it('kept messages survive a restart, those beyond the limits are removed at it', async () => {
    const store = createMemoryStore();
    await drainedUpToC(store);
    const { log } = await open(store, keeping());
    assert.deepEqual([log.buffered, log.keptAfterLogId, log.storedBytes], [2, 0, log.bufferedBytes]);
    const { log: smaller, settled } = await open(store, keeping(0));
    await settled();
    assert.deepEqual([smaller.buffered, smaller.keptAfterLogId, smaller.keptBytes], [2, 2, 0]);
    assert.equal([...store.keys('drain')].length, 2);
    await smaller.sendAgain(0);
    assert.deepEqual(drainAll(smaller), ['c', 'd', 'e']);
  });

  it('kept messages are removed when their time is up or the disk is full', async () => {
    let nowMs = 0;
    const aged = createMemoryStore();
    const { log, settled } = await drainedUpToC(
      aged,
      keeping(1_000_000, 1_000, () => nowMs),
    );
    nowMs = 999;
    log.expireKept();
    await settled();
    assert.equal([...aged.keys('drain')].length, 3);
    nowMs = 1_000;
    log.expireKept();
    await settled();
    assert.deepEqual([[...aged.keys('drain')].length, log.keptBytes], [2, 0]);
    const full = createMemoryStore();
    const other = await drainedUpToC(full);
    other.log.giveUpKept();
    await other.settled();
    assert.deepEqual([[...full.keys('drain')].length, other.log.keptBytes], [2, 0]);
  });

  it('a kept group that a session refers to stays until neither needs it', async () => {
    const store = createMemoryStore();
    const { log, one, settled } = await drainedUpToC(store, keeping(), 1);
    assert.equal(log.sessionBytes, one.bytes);
    // Both messages of the group leave the queue of the session.
    await store.commit(log.unreference('drain', one.key, 2)).durable;
    assert.deepEqual([log.sessionBytes, log.read('drain', one.key)?.count], [0, 2]);
    await log.sendAgain(0);
    assert.deepEqual(drainAll(log), ['a', 'b', 'c', 'd', 'e']);

    const second = createMemoryStore();
    const kept = await drainedUpToC(second, keeping(), 1);
    kept.log.giveUpKept();
    await settled();
    assert.equal(kept.log.read('drain', kept.one.key)?.count, 2);
    // What only a session still needs is not sent again, after a restart either.
    const { log: again } = await open(second, keeping());
    await again.sendAgain(0);
    assert.deepEqual(drainAll(again), ['c', 'd', 'e']);
    await second.commit(again.unreference('drain', kept.one.key, 2)).durable;
    assert.equal(again.read('drain', kept.one.key), undefined);
  });
});
