import assert from 'node:assert/strict';
import { after, afterEach, before, describe, it } from 'node:test';
import { recordBytesMax, RecordTooLargeError } from '@thermomesh/contracts';
import { testKafka, type TestKafka } from '@thermomesh/servers';
import { until as untilTrue } from '@thermomesh/testing';
import {
  KafkaUnavailableError,
  openKafka,
  type IncomingRecord,
  type KafkaClient,
  type KafkaSettings,
  type PartitionReader,
} from './index.ts';

const deadlineMs = 60_000;
let kafka: TestKafka;
let client: KafkaClient;
let topics = 0;
const readers: PartitionReader[] = [];
const events: string[] = [];
const counts: Record<string, { produced: number; read: number }> = {};

before(async () => {
  // A killed broker can come back only when its old session has ended.
  kafka = await testKafka({ settings: { 'zookeeper.session.timeout.ms': '3000' } });
  client = open('test');
});
afterEach(async () => {
  await Promise.all(readers.splice(0).map(async (reader) => reader.stop()));
});
after(async () => {
  await client.close();
  await kafka.remove();
});

function open(clientId: string, more: Partial<KafkaSettings> = {}): KafkaClient {
  const note = ({ event }: { event: string }) => void events.push(event);
  return openKafka({
    settings: { brokers: kafka.brokers.split(','), clientId, callDeadlineMs: deadlineMs, ...more },
    log: { debug: note, info: note, warn: note, error: note } as never,
    observer: {
      produced: (topic, records) => ((counts[topic] ??= { produced: 0, read: 0 }).produced += records),
      read: (topic, _partition, records) => ((counts[topic] ??= { produced: 0, read: 0 }).read += records),
    },
  });
}

async function newTopic(partitions = 2): Promise<string> {
  const topic = `topic-${topics++}`;
  const made = await client.admin.ensure([{ topic, partitions, replicationFactor: 1, retentionMs: 600_000 }]);
  assert.deepEqual(made, [topic]);
  return topic;
}

const until = async (what: string, holds: () => boolean) => untilTrue(what, holds, { timeoutMs: deadlineMs });

/** Sends the record again and again until it is acknowledged in time; returns its offset. */
async function untilSent(of: KafkaClient, topic: string, text: string): Promise<number> {
  for (const end = Date.now() + deadlineMs; ;) {
    const offset = await of.producer.send(topic, 0, record(text)).catch(() => undefined);
    if (offset !== undefined) return offset;
    assert.ok(Date.now() < end, `never acknowledged: ${text}`);
  }
}

const record = (text: string) => ({ key: null, value: Buffer.from(text) });
const textOf = ({ value }: IncomingRecord) => String(value);
const sendAll = async (topic: string, partition: number, texts: string[]) =>
  Promise.all(texts.map(async (text) => client.producer.send(topic, partition, record(text))));
const numbered = (from: number, to: number) => Array.from({ length: to - from }, (_, i) => `r${from + i}`);

/** A reader that keeps what it gets; `on` is awaited for each record. */
function readerOf(
  of: KafkaClient,
  topic: string,
  on: (record: IncomingRecord) => Promise<void> = async () => undefined,
): { reader: PartitionReader; got: IncomingRecord[] } {
  const got: IncomingRecord[] = [];
  const reader = of.reader({
    topic,
    handle: async (one) => {
      got.push(one);
      await on(one);
    },
    onFailed: (partition, error) => assert.fail(`partition ${partition}: ${String(error)}`),
  });
  readers.push(reader);
  reader.start();
  return { reader, got };
}

describe('topics', () => {
  it('topics are created once; another number of partitions is an error', async () => {
    const topic = await newTopic(3);
    const spec = { topic, partitions: 3, replicationFactor: 1, retentionMs: 600_000 };
    assert.deepEqual(await client.admin.ensure([spec]), []);
    await assert.rejects(client.admin.ensure([{ ...spec, partitions: 4 }]), { code: 'kafka.topic_mismatch' });
    assert.ok((await client.admin.list()).includes(topic));
    await client.admin.remove([topic, 'never-there']);
    assert.ok(!(await client.admin.list()).includes(topic));
  });
});

describe('records', () => {
  it('a record over 256 KiB is refused before it is sent, and the next one is stored', async () => {
    const topic = await newTopic();
    const large = { key: null, value: Buffer.alloc(recordBytesMax + 1) };
    await assert.rejects(client.producer.send(topic, 0, large), RecordTooLargeError);
    assert.equal(await client.producer.send(topic, 0, { key: null, value: Buffer.alloc(recordBytesMax) }), 0);
    assert.deepEqual((await client.admin.ranges(topic))[0], { partition: 0, start: 0, end: 1 });
  });

  it('a successor reads from the named offset to the end', async () => {
    const topic = await newTopic();
    await sendAll(topic, 0, numbered(0, 50));
    await sendAll(topic, 1, numbered(0, 3));
    const got: IncomingRecord[] = [];
    const handle = (one: IncomingRecord) => void got.push(one);
    const ends = await client.readToEnd({ topic, handle, deadlineMs, from: new Map([[0, 45]]) });
    assert.deepEqual(
      [...ends],
      [
        [0, 50],
        [1, 3],
      ],
    );
    const texts = (partition: number) => got.filter((one) => one.partition === partition).map(textOf);
    assert.deepEqual(texts(0), numbered(45, 50));
    assert.deepEqual(texts(1), numbered(0, 3));
  });
});

describe('readers', () => {
  it('a partition that moves between readers is read once, in sequence', async () => {
    const topic = await newTopic();
    const second = open('second');
    const a = readerOf(client, topic);
    const b = readerOf(second, topic);
    a.reader.lead(0, 0);
    await sendAll(topic, 0, numbered(0, 20));
    await until('the first half', () => a.got.length === 20);
    await a.reader.release(0);
    assert.equal(a.reader.position(0), undefined);
    await sendAll(topic, 0, numbered(20, 40));
    b.reader.lead(0, 20);
    await until('the second half', () => b.got.length === 20);
    // Move it back, while more records arrive.
    const position = b.reader.position(0) ?? -1;
    await b.reader.release(0);
    a.reader.lead(0, position);
    await sendAll(topic, 0, numbered(40, 50));
    await until('the rest', () => a.got.length + b.got.length >= 50);
    assert.deepEqual(a.got.map(textOf), [...numbered(0, 20), ...numbered(40, 50)]);
    assert.deepEqual(b.got.map(textOf), numbered(20, 40));
    assert.equal(counts[topic]?.produced, 50);
    assert.ok((counts[topic]?.read ?? 0) >= 50);
    await second.close();
  });

  it('a reader does not wait for a member that never left', async () => {
    const topic = await newTopic(1);
    await sendAll(topic, 0, ['a']);
    // The first reader is still a member of its group, with all partitions, when the same process
    // starts again.
    const former = readerOf(client, topic);
    former.reader.lead(0, 0);
    await until('the former reader', () => former.got.length === 1);
    const fresh = readerOf(client, topic);
    fresh.reader.lead(0, 0);
    await until('the fresh reader', () => fresh.got.length === 1);
    assert.ok(former.reader.isReading());
  });

  it('long work delays neither other partitions nor the session', async () => {
    const topic = await newTopic();
    const small = open('small', { readBufferRecordsMax: 4 });
    let finish: () => void = () => undefined;
    const working = new Promise<void>((resolve) => (finish = resolve));
    const { reader, got } = readerOf(small, topic, async ({ partition }) =>
      partition === 0 ? working : undefined,
    );
    reader.lead(0, 0);
    reader.lead(1, 0);
    await sendAll(topic, 0, numbered(0, 30));
    for (let at = 0; at < 30; at += 10) await sendAll(topic, 1, numbered(at, at + 10));
    await until('the other partition', () => got.filter(({ partition }) => partition === 1).length === 30);
    assert.equal(got.length, 31);
    assert.ok(reader.isReading());
    finish();
    await until('the rest', () => got.length === 60);
    assert.deepEqual(got.filter(({ partition }) => partition === 0).map(textOf), numbered(0, 30));
    await small.close();
  });
});

describe('the broker is killed', () => {
  it('a broker killed while records are produced and read loses none of them', async () => {
    const topic = await newTopic();
    const { reader, got } = readerOf(client, topic);
    reader.lead(0, 0);
    reader.lead(1, 0);
    const total = 400;
    let acked = 0;
    const produce = async (partition: number) => {
      for (let at = 0; at < total; at += 4) {
        await sendAll(topic, partition, numbered(at, at + 4));
        acked += 4;
      }
    };
    const producing = Promise.all([produce(0), produce(1)]);
    await until('records to be lost', () => acked >= 40 && got.length >= 20);
    const [broker] = kafka.members;
    assert.ok(broker);
    await broker.kill();
    assert.ok(acked < 2 * total, 'the broker was killed too late to prove anything');
    await broker.restart();
    await producing;
    const fresh = (partition: number) => [
      ...new Set(got.filter((one) => one.partition === partition).map(textOf)),
    ];
    await until('every record', () => fresh(0).length === total && fresh(1).length === total);
    for (const partition of [0, 1]) {
      // A record may be stored twice (its acknowledgement was lost), but never out of sequence.
      assert.deepEqual(fresh(partition), numbered(0, total));
      const offsets = got.filter((one) => one.partition === partition).map(({ offset }) => offset);
      assert.deepEqual(offsets, [...offsets.keys()], 'an offset was left out or came twice');
    }
    assert.equal(client.producer.state(), 'connected');
    assert.ok(events.includes('kafka.produce_retried'));
  });

  it('a call outlasts the death of the broker and its ZooKeeper', async () => {
    const topic = await newTopic(1);
    const [broker] = kafka.members;
    const [zookeeper] = kafka.zookeeper.members;
    assert.ok(broker && zookeeper);
    await sendAll(topic, 0, ['before']);
    await Promise.all([zookeeper.kill(), broker.kill()]);
    const sending = sendAll(topic, 0, ['after']);
    const naming = newTopic(1);
    await zookeeper.restart();
    await broker.restart();
    assert.deepEqual(await sending, [1]);
    await naming;
  });
});

describe('the broker is frozen', () => {
  it('an abandoned record that is stored nevertheless does not swallow the next one', async () => {
    const topic = await newTopic(1);
    const hasty = open('hasty', { requestTimeoutMs: 500, callDeadlineMs: 500, fetchWaitMs: 100 });
    // Records abandoned because the machine stalled do not matter: one record gets through, and the
    // sequence has begun.
    await untilSent(hasty, topic, 'first');
    const [broker] = kafka.members;
    assert.ok(broker);
    await broker.pause();
    await assert.rejects(hasty.producer.send(topic, 0, record('given up')), KafkaUnavailableError);
    assert.equal(hasty.producer.state(), 'failing');
    await broker.resume();
    // The same client sends as many records as it has abandoned: with the old sequence number they
    // would count as a repetition.
    const offset = await untilSent(hasty, topic, 'next');
    const got: string[] = [];
    const handle = (one: IncomingRecord) => void got.push(textOf(one));
    await client.readToEnd({ topic, handle, deadlineMs });
    assert.equal(got[offset], 'next', `stored: ${got.join(', ')}`);
    await hasty.close();
  });
});

describe('no broker is there', () => {
  it('without a broker a call ends at its deadline with a retriable error', async () => {
    const alone = openKafka({
      settings: { brokers: ['127.0.0.1:1'], clientId: 'alone', callDeadlineMs: 300 },
      log: {
        debug: () => undefined,
        info: () => undefined,
        warn: () => undefined,
        error: () => undefined,
      } as never,
    });
    await assert.rejects(alone.admin.list(), { code: 'kafka.unavailable', retriable: true });
    await assert.rejects(alone.producer.send('t', 0, record('x')), { code: 'kafka.unavailable' });
    const { reader } = readerOf(alone, 't');
    assert.equal(reader.isReading(), false);
    await alone.close();
  });
});
