import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { KafkaClient, PartitionReader, ReaderOptions } from '@thermomesh/kafka';
import { createLog } from '@thermomesh/runtime';
import { createRecords } from './kafka-records.ts';

/** A Kafka client whose readers read or do not, as the test decides. */
function worldOf() {
  const world = { isReading: true, producer: 'idle', opened: [] as ReaderOptions[] };
  const kafka = {
    admin: { ensure: async () => [] },
    producer: { state: () => world.producer },
    reader(options: ReaderOptions): PartitionReader {
      world.opened.push(options);
      const nothing = () => undefined;
      return {
        start: nothing,
        lead: nothing,
        position: nothing,
        release: async () => undefined,
        stop: async () => undefined,
        isReading: () => world.isReading,
      };
    },
  } as unknown as KafkaClient;
  const { signal } = new AbortController();
  const records = createRecords({
    kafka,
    signal,
    topicPrefix: 'eq',
    partitions: 2,
    replication: 1,
    retentionMs: 1_000,
    log: createLog('test', 'silent'),
  });
  return { world, records, ensured: async () => records.ensure(signal) };
}

describe('what is wrong with Kafka', () => {
  it('a reader that does not read is unhealthy until it reads again or stops', async () => {
    const { world, records, ensured } = worldOf();
    assert.equal(records.unhealthyReason(), 'the topics do not exist yet');
    await ensured();
    const tasks = records.taskReader(async () => undefined);
    const results = records.resultReader(async () => undefined);
    world.isReading = false;
    assert.equal(records.unhealthyReason(), undefined, 'the reader was not started');
    tasks.start();
    assert.equal(records.unhealthyReason(), 'eq.tasks is not read');
    world.isReading = true;
    assert.equal(records.unhealthyReason(), undefined);
    results.start();
    await tasks.stop();
    world.isReading = false;
    assert.equal(records.unhealthyReason(), 'eq.results is not read');
    await results.stop();
    assert.equal(records.unhealthyReason(), undefined, 'a stopped reader is not missed');
  });

  it('a partition that its reader abandoned is unhealthy until it is led again', async () => {
    const { world, records, ensured } = worldOf();
    await ensured();
    const reader = records.taskReader(async () => undefined);
    reader.start();
    world.opened[0]?.onFailed(1, new Error('a bug'));
    assert.equal(records.unhealthyReason(), 'eq.tasks is not read in partition 1');
    reader.lead(1, 7);
    assert.equal(records.unhealthyReason(), undefined);
  });

  it('a producer that fails is unhealthy', async () => {
    const { world, records, ensured } = worldOf();
    await ensured();
    world.producer = 'failing';
    assert.equal(records.unhealthyReason(), 'records are not accepted');
  });
});
