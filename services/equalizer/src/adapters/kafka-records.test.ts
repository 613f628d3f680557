import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { KafkaClient, PartitionReader, ReaderOptions } from '@thermomesh/kafka';
import { createLog } from '@thermomesh/runtime';
import { createRecords } from './kafka-records.ts';

/** Kafka as far as readiness asks for it: readers that read or do not. */
function worldOf() {
  const world = { isReading: true, producer: 'idle', opened: [] as ReaderOptions[] };
  const kafka = {
    admin: { ensure: async () => [] },
    producer: { state: () => world.producer },
    reader(options: ReaderOptions): PartitionReader {
      world.opened.push(options);
      const nothing = () => undefined;
      return {
        ...{ start: nothing, lead: nothing, position: nothing },
        ...{ release: async () => undefined, stop: async () => undefined },
        isReading: () => world.isReading,
      };
    },
  } as unknown as KafkaClient;
  const { signal } = new AbortController();
  const records = createRecords({
    ...{ kafka, signal, topicPrefix: 'eq', partitions: 2, replication: 1, retentionMs: 1_000 },
    log: createLog('test', 'silent'),
  });
  return { world, records, ensured: async () => records.ensure(signal) };
}

describe('what is wrong with Kafka', () => {
  it('a-reader-that-does-not-read-is-told-by-its-topic-until-it-reads-again-or-is-stopped', async () => {
    const { world, records, ensured } = worldOf();
    assert.equal(records.fault(), 'the topics are not there yet');
    await ensured();
    const tasks = records.taskReader(async () => undefined);
    const results = records.resultReader(async () => undefined);
    world.isReading = false;
    assert.equal(records.fault(), undefined, 'nobody has asked it to read');
    tasks.start();
    assert.equal(records.fault(), 'eq.tasks is not read');
    world.isReading = true;
    assert.equal(records.fault(), undefined);
    results.start();
    await tasks.stop();
    world.isReading = false;
    assert.equal(records.fault(), 'eq.results is not read');
    await results.stop();
    assert.equal(records.fault(), undefined, 'a term that has ended is not missed');
  });

  it('a-partition-that-its-reader-has-given-up-is-told-until-it-is-led-anew', async () => {
    const { world, records, ensured } = worldOf();
    await ensured();
    const reader = records.taskReader(async () => undefined);
    reader.start();
    world.opened[0]?.onFailed(1, new Error('a fault of ours'));
    assert.equal(records.fault(), 'eq.tasks is not read in partition 1');
    reader.lead(1, 7);
    assert.equal(records.fault(), undefined);
  });

  it('records-that-are-not-taken-are-told', async () => {
    const { world, records, ensured } = worldOf();
    await ensured();
    world.producer = 'failing';
    assert.equal(records.fault(), 'records are not taken');
  });
});
