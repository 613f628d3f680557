/** Topics and their ends. */
import { MeshError } from '@thermomesh/runtime';
import type { Admin, Client } from './client.ts';
import { kindOfKafkaError, KafkaUnavailableError } from './errors.ts';
import { retryUntil } from './retry.ts';

export interface TopicSpec {
  topic: string;
  partitions: number;
  /** Copies of each record. */
  replicationFactor: number;
  retentionMs: number;
  /** Copies that must have a record before it is acknowledged; the cluster's default if left out. */
  minInSyncReplicas?: number;
}

/** What a partition holds: offsets from `start` to before `end`. */
export interface PartitionRange {
  partition: number;
  start: number;
  end: number;
}

export interface TopicAdmin {
  /**
   * Makes the topics that are missing and waits until each partition has a leader.
   * @returns the names of those that were made
   * @throws MeshError `kafka.topic_mismatch` if one has another number of partitions; those of every call
   */
  ensure(topics: readonly TopicSpec[]): Promise<string[]>;
  /** Deletes topics; one that does not exist is no error. */
  remove(topics: readonly string[]): Promise<void>;
  /** Names of all topics but Kafka's own. */
  list(): Promise<string[]>;
  /** What each partition of the topic holds now, by partition. */
  ranges(topic: string): Promise<PartitionRange[]>;
  close(): Promise<void>;
}

/** Administers topics; each call goes on trying for `callDeadlineMs`, and throws as `retryUntil` does. */
export function openTopicAdmin(client: Client): TopicAdmin {
  const abort = new AbortController();
  const call = async <T>(work: (admin: Admin) => Promise<T>): Promise<T> =>
    retryUntil(async () => withAdmin(client, work), {
      settings: client.settings,
      deadlineMs: client.settings.callDeadlineMs,
      signal: abort.signal,
      onRetry: (error) =>
        client.reporting.log.warn({ event: 'kafka.admin_retried', kind: kindOfKafkaError(error) }),
    });
  return {
    ensure: async (topics) => {
      const made = await call(async (admin) => createMissing(admin, topics));
      await call(async (admin) => checkTopics(admin, topics));
      return made;
    },
    remove: async (topics) => call(async (admin) => deleteExisting(admin, topics)),
    list: async () =>
      call(async (admin) => (await admin.listTopics()).filter((name) => !name.startsWith('__'))),
    ranges: async (topic) => call(async (admin) => rangesOf(admin, topic)),
    close: async () => abort.abort(),
  };
}

/** A connection of its own for each call: they are rare, and none can be stale. */
async function withAdmin<T>(client: Client, work: (admin: Admin) => Promise<T>): Promise<T> {
  const admin = client.kafka.admin({ retry: client.retry });
  try {
    await admin.connect();
    return await work(admin);
  } finally {
    await admin.disconnect();
  }
}

async function createMissing(admin: Admin, topics: readonly TopicSpec[]): Promise<string[]> {
  const existing = new Set(await admin.listTopics());
  const missing = topics.filter(({ topic }) => !existing.has(topic));
  if (missing.length === 0) return [];
  await admin.createTopics({
    // The leaders are waited for below, with our patience.
    waitForLeaders: false,
    topics: missing.map((spec) => ({
      topic: spec.topic,
      numPartitions: spec.partitions,
      replicationFactor: spec.replicationFactor,
      configEntries: [
        { name: 'retention.ms', value: String(spec.retentionMs) },
        ...(spec.minInSyncReplicas === undefined
          ? []
          : [{ name: 'min.insync.replicas', value: String(spec.minInSyncReplicas) }]),
      ],
    })),
  });
  return missing.map(({ topic }) => topic);
}

async function checkTopics(admin: Admin, topics: readonly TopicSpec[]): Promise<void> {
  const known = await admin.fetchTopicMetadata({ topics: topics.map(({ topic }) => topic) });
  for (const { topic, partitions } of topics) {
    const found = known.topics.find(({ name }) => name === topic)?.partitions ?? [];
    if (found.some(({ leader }) => leader < 0) || found.length === 0) {
      throw new KafkaUnavailableError(undefined, `${topic} has partitions without a leader`);
    }
    if (found.length !== partitions) {
      throw new MeshError(
        'kafka.topic_mismatch',
        `${topic} has ${found.length} partitions, not ${partitions}`,
      );
    }
  }
}

async function deleteExisting(admin: Admin, topics: readonly string[]): Promise<void> {
  const existing = new Set(await admin.listTopics());
  const present = topics.filter((topic) => existing.has(topic));
  if (present.length > 0) await admin.deleteTopics({ topics: present });
}

async function rangesOf(admin: Admin, topic: string): Promise<PartitionRange[]> {
  const offsets = await admin.fetchTopicOffsets(topic);
  return offsets
    .map(({ partition, low, high }) => ({ partition, start: Number(low), end: Number(high) }))
    .sort((a, b) => a.partition - b.partition);
}
