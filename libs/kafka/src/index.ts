import { createClient, type ClientOptions } from './client.ts';
import { openProducer, type RecordProducer } from './producer.ts';
import { readToEnd, type ReadToEndOptions } from './read-to-end.ts';
import { openReader, type PartitionReader, type ReaderOptions } from './reader.ts';
import { openTopicAdmin, type TopicAdmin } from './topics.ts';

export type { ClientOptions } from './client.ts';
export * from './errors.ts';
export type { OutgoingRecord } from './lane.ts';
export * from './observer.ts';
export type { ProducerState, RecordProducer } from './producer.ts';
export type { ReadToEndOptions } from './read-to-end.ts';
export type { PartitionReader, ReaderOptions } from './reader.ts';
export * from './settings.ts';
export type { IncomingRecord } from './slot.ts';
export type { PartitionRange, TopicAdmin, TopicSpec } from './topics.ts';

/** Kafka as the mesh uses it. */
export interface KafkaClient {
  readonly admin: TopicAdmin;
  readonly producer: RecordProducer;
  /** Creates a reader that is not started. Its owner stops it; so does `close`. */
  reader(options: ReaderOptions): PartitionReader;
  /** See {@link readToEnd}. */
  readToEnd(options: ReadToEndOptions): Promise<Map<number, number>>;
  /** Stops the readers, sends the queued records, and disconnects. Idempotent. */
  close(): Promise<void>;
}

/**
 * Opens a client, which connects on first use.
 * @throws MeshError `kafka.bad_settings`
 */
export function openKafka(options: ClientOptions): KafkaClient {
  const client = createClient(options);
  const admin = openTopicAdmin(client);
  const producer = openProducer(client);
  const readers = new Set<PartitionReader>();
  return {
    admin,
    producer,
    reader(readerOptions) {
      const reader = openReader(client, readerOptions, () => readers.delete(reader));
      readers.add(reader);
      return reader;
    },
    readToEnd: async (readOptions) => readToEnd(client, admin, readOptions),
    async close() {
      await Promise.all([...readers].map(async (reader) => reader.stop()));
      await producer.close();
      await admin.close();
    },
  };
}
