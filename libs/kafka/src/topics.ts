/** Administration of topics. */
import { disconnected, type Admin, type Client } from './client.ts';
import { kafkaError, kindOfKafkaError, KafkaUnavailableError } from './errors.ts';
import { retryUntil } from './retry.ts';

export interface TopicSpec {
  topic: string;
  partitions: number;
  /** The number of copies of each record. */
  replicationFactor: number;
  retentionMs: number;
  /**
   * The number of copies that must exist before a record is acknowledged. Default: the cluster's
   * setting.
   */
  minInSyncReplicas?: number;
}

/** The offsets that a partition holds: from `start` up to, but without, `end`. */
export interface PartitionRange {
  partition: number;
  start: number;
  end: number;
}

export interface TopicAdmin {
  /**
   * Creates the missing topics and waits until each partition has a leader.
   * @returns the names of the topics that it created
   * @throws MeshError `kafka.topic_mismatch` if a topic has another number of partitions; the
   *   errors of every call
   */
  ensure(topics: readonly TopicSpec[]): Promise<string[]>;
  /** Deletes topics; a missing one is not an error. */
  remove(topics: readonly string[]): Promise<void>;
  /** The names of all topics except Kafka's own. */
  list(): Promise<string[]>;
  /** The offsets that each partition of the topic holds now, by partition. */
  ranges(topic: string): Promise<PartitionRange[]>;
  close(): Promise<void>;
}

/**
 * Administers topics. Each call is repeated for `callDeadlineMs`, and throws as `retryUntil` does.
 */
export function openTopicAdmin(client: Client): TopicAdmin {
  const abort = new AbortController();
  const call = async <T>(work: (admin: Admin) => Promise<T>): Promise<T> =>
    retryUntil(async () => withAdmin(client, work), {
      settings: client.settings,
      deadlineMs: client.settings.callDeadlineMs,
      signal: abort.signal,
      onRetry: (error) =>
        client.reporting.log.warn({ event: 'kafka.admin_retried', code: kindOfKafkaError(error) }),
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

/** Opens a connection for each call: calls are rare, and no connection can be stale. */
async function withAdmin<T>(client: Client, work: (admin: Admin) => Promise<T>): Promise<T> {
  const admin = client.kafka.admin({ retry: client.retry });
  try {
    await admin.connect();
    return await work(admin);
  } finally {
    await disconnected(client, admin.disconnect());
  }
}

async function createMissing(admin: Admin, topics: readonly TopicSpec[]): Promise<string[]> {
  const existing = new Set(await admin.listTopics());
  const missing = topics.filter(({ topic }) => !existing.has(topic));
  if (missing.length === 0) return [];
  await admin.createTopics({
    // `checkTopics` waits for the leaders, with our own retries.
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
      throw kafkaError('kafka.topic_mismatch', `${topic} has ${found.length} partitions, not ${partitions}`);
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
