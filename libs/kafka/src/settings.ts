/** Every limit of the library, with its unit in its name. */

export interface KafkaSettings {
  /** `host:port`, … */
  brokers: readonly string[];
  /** What the brokers' logs call this process. */
  clientId: string;
  connectTimeoutMs: number;
  /** A request without an answer after this is taken for lost. */
  requestTimeoutMs: number;
  /** The first pause before a try is repeated; it doubles. */
  retryDelayMs: number;
  /** The longest that it doubles to. */
  retryDelayMaxMs: number;
  /** How long one call goes on trying before it says that Kafka is unavailable. */
  callDeadlineMs: number;
  /** Bytes that wait in one producer; then `send` is refused until there is room. */
  producerQueueBytesMax: number;
  /** Records of one request to a broker. */
  batchRecordsMax: number;
  /** Bytes of one request to a broker. */
  batchBytesMax: number;
  /** A fetch that finds nothing waits this long; also how soon a partition that was just taken over is read. */
  fetchWaitMs: number;
  /** Bytes of one partition in one fetch. */
  fetchPartitionBytesMax: number;
  /** Records of one partition that wait for `handle`; then the partition is not fetched until half of them are gone. */
  readBufferRecordsMax: number;
  /** The brokers give a reader up that has said nothing for so long. No other reader waits for it. */
  sessionTimeoutMs: number;
  heartbeatIntervalMs: number;
  /** How long a reader that leaves is waited for; it goes on leaving meanwhile. */
  closeTimeoutMs: number;
  /** A reader whose fetches have all been silent for so long is replaced. */
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

/** Every setting that makes no sense and every relation among them that does not hold, one line each. */
export function kafkaSettingFaults(settings: KafkaSettings): string[] {
  const { brokers, clientId, ...numbers } = settings;
  const faults = Object.entries(numbers)
    .filter(([, value]: [string, number]) => !Number.isSafeInteger(value) || value < 1)
    .map(([name]) => `${name} must be a positive integer`);
  if (brokers.length === 0) faults.push('brokers must name at least one broker');
  if (clientId === '') faults.push('clientId must not be empty');
  if (settings.heartbeatIntervalMs * 3 > settings.sessionTimeoutMs)
    faults.push('sessionTimeoutMs must be at least three times heartbeatIntervalMs');
  if (settings.fetchWaitMs >= settings.requestTimeoutMs)
    faults.push('fetchWaitMs must be below requestTimeoutMs');
  if (settings.readerStallTimeoutMs <= settings.requestTimeoutMs)
    faults.push('readerStallTimeoutMs must be above requestTimeoutMs');
  if (settings.retryDelayMaxMs < settings.retryDelayMs)
    faults.push('retryDelayMaxMs must not be below retryDelayMs');
  return faults;
}
