/** Every limit of the library, with its unit in its name. */

export interface KafkaSettings {
  /** `host:port`, … */
  brokers: readonly string[];
  /** The name of this process in the brokers' logs. */
  clientId: string;
  connectTimeoutMs: number;
  /** A request without an answer counts as lost after this time. */
  requestTimeoutMs: number;
  /** The first pause before an attempt is repeated; it doubles each time. */
  retryDelayMs: number;
  /** Upper bound of that pause. */
  retryDelayMaxMs: number;
  /** How long one call repeats its attempts before it reports that Kafka is unavailable. */
  callDeadlineMs: number;
  /** Maximum number of bytes queued in one producer; `send` is refused beyond it. */
  producerQueueBytesMax: number;
  /** Maximum number of records in one request to a broker. */
  batchRecordsMax: number;
  /** Maximum number of bytes in one request to a broker. */
  batchBytesMax: number;
  /**
   * How long a fetch waits for records. Also bounds how soon a partition is read after it was taken
   * over.
   */
  fetchWaitMs: number;
  /** Maximum number of bytes of one partition in one fetch. */
  fetchPartitionBytesMax: number;
  /**
   * Maximum number of records of one partition that wait for `handle`. Beyond it, the partition is
   * not fetched until half of them are handled.
   */
  readBufferRecordsMax: number;
  /** The brokers drop a reader that has been silent for this time. No other reader waits for it. */
  sessionTimeoutMs: number;
  heartbeatIntervalMs: number;
  /** Maximum time to wait for a reader that leaves; it continues to leave afterwards. */
  closeTimeoutMs: number;
  /** A reader without an answered fetch for this time is replaced. */
  readerStallTimeoutMs: number;
}

export const defaultKafkaSettings: Omit<KafkaSettings, 'brokers' | 'clientId'> = {
  connectTimeoutMs: 2_000,
  requestTimeoutMs: 10_000,
  retryDelayMs: 100,
  retryDelayMaxMs: 2_000,
  callDeadlineMs: 60_000,
  producerQueueBytesMax: 32 * 1024 * 1024,
  batchRecordsMax: 500,
  batchBytesMax: 768 * 1024,
  fetchWaitMs: 200,
  fetchPartitionBytesMax: 1024 * 1024,
  readBufferRecordsMax: 256,
  sessionTimeoutMs: 30_000,
  heartbeatIntervalMs: 3_000,
  closeTimeoutMs: 5_000,
  readerStallTimeoutMs: 30_000,
};

/** Every invalid setting and every contradiction between settings, one message each. */
export function kafkaSettingIssues(settings: KafkaSettings): string[] {
  const { brokers, clientId, ...numbers } = settings;
  const issues = Object.entries(numbers)
    .filter(([, value]: [string, number]) => !Number.isSafeInteger(value) || value < 1)
    .map(([name]) => `${name} must be a positive integer`);
  if (brokers.length === 0) issues.push('brokers must name at least one broker');
  if (clientId === '') issues.push('clientId must not be empty');
  if (settings.heartbeatIntervalMs * 3 > settings.sessionTimeoutMs)
    issues.push('sessionTimeoutMs must be at least three times heartbeatIntervalMs');
  if (settings.fetchWaitMs >= settings.requestTimeoutMs)
    issues.push('fetchWaitMs must be below requestTimeoutMs');
  if (settings.readerStallTimeoutMs <= settings.requestTimeoutMs)
    issues.push('readerStallTimeoutMs must be above requestTimeoutMs');
  if (settings.retryDelayMaxMs < settings.retryDelayMs)
    issues.push('retryDelayMaxMs must not be below retryDelayMs');
  return issues;
}
