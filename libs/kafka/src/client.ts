/** One process's access to a Kafka cluster. Only this file makes kafkajs objects. */
import kafkaJs, { type Kafka, type LogEntry, type RetryOptions } from 'kafkajs';
import { sleep } from '@thermomesh/runtime';
import { kafkaError, kindOfKafkaError } from './errors.ts';
import type { KafkaLog, KafkaObserver, Reporting } from './observer.ts';
import { defaultKafkaSettings, kafkaSettingIssues, type KafkaSettings } from './settings.ts';

export type { Admin, Consumer, EachBatchPayload, Producer } from 'kafkajs';
export { kafkaJs };

/** What reader, producer and admin share. */
export interface Client {
  readonly kafka: Kafka;
  readonly settings: KafkaSettings;
  readonly reporting: Reporting;
  /** Retry options of kafkajs: a few quick attempts. The long retries are ours (`retry.ts`). */
  readonly retry: RetryOptions;
}

export interface ClientOptions {
  /** Brokers and client id; every other setting has a default. */
  settings: Pick<KafkaSettings, 'brokers' | 'clientId'> & Partial<KafkaSettings>;
  log: KafkaLog;
  observer?: KafkaObserver;
}

const innerRetries = 3;

/**
 * Creates a client without connecting it.
 * @throws MeshError `kafka.bad_settings`
 */
export function createClient(options: ClientOptions): Client {
  const settings: KafkaSettings = { ...defaultKafkaSettings, ...options.settings };
  const issues = kafkaSettingIssues(settings);
  if (issues.length > 0) throw kafkaError('kafka.bad_settings', issues.join('; '));
  const { log, observer = {} } = options;
  const retry: RetryOptions = {
    initialRetryTime: settings.retryDelayMs,
    maxRetryTime: settings.retryDelayMaxMs,
    retries: innerRetries,
    // This library replaces a failed reader by one with another group id.
    restartOnFailure: async () => false,
  };
  const kafka = new kafkaJs.Kafka({
    brokers: [...settings.brokers],
    clientId: settings.clientId,
    connectionTimeout: settings.connectTimeoutMs,
    requestTimeout: settings.requestTimeoutMs,
    retry,
    logLevel: kafkaJs.logLevel.ERROR,
    // Most of what kafkajs logs as an error is a retry; our own events report what matters.
    logCreator: () => (entry: LogEntry) =>
      log.debug({ event: 'kafka.client_reported', namespace: entry.namespace, reason: entry.log.message }),
  });
  return { kafka, settings, reporting: { log, observer }, retry };
}

/**
 * Waits until a kafkajs object has disconnected, at most `closeTimeoutMs`: its promise may never
 * settle, because it waits for answers of a broker that hangs. Never rejects.
 */
export async function disconnected(
  { settings, reporting }: Pick<Client, 'settings' | 'reporting'>,
  disconnecting: Promise<unknown>,
): Promise<void> {
  const left = disconnecting.catch((error: unknown) => {
    reporting.log.debug({ event: 'kafka.disconnect_failed', code: kindOfKafkaError(error) });
  });
  const done = new AbortController();
  await Promise.race([left, sleep(settings.closeTimeoutMs, done.signal)]);
  done.abort();
}
