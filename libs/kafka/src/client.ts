/** One process's access to a Kafka cluster. The only file that makes kafkajs objects. */
import kafkaJs, { type Kafka, type LogEntry, type RetryOptions } from 'kafkajs';
import { MeshError } from '@thermomesh/runtime';
import type { KafkaLog, KafkaObserver, Reporting } from './observer.ts';
import { defaultKafkaSettings, kafkaSettingFaults, type KafkaSettings } from './settings.ts';

export type { Admin, Consumer, EachBatchPayload, Producer } from 'kafkajs';
export { kafkaJs };

/** What reader, producer and admin share. */
export interface Client {
  readonly kafka: Kafka;
  readonly settings: KafkaSettings;
  readonly reporting: Reporting;
  /** Of kafkajs: a few quick tries. The patience is ours (`retry.ts`). */
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
 * Describes a client; nothing is connected yet.
 * @throws MeshError `kafka.bad_settings`
 */
export function createClient(options: ClientOptions): Client {
  const settings: KafkaSettings = { ...defaultKafkaSettings, ...options.settings };
  const faults = kafkaSettingFaults(settings);
  if (faults.length > 0) throw new MeshError('kafka.bad_settings', faults.join('; '));
  const { log, observer = {} } = options;
  const retry: RetryOptions = {
    initialRetryTime: settings.retryDelayMs,
    maxRetryTime: settings.retryDelayMaxMs,
    retries: innerRetries,
    // A reader that fails is replaced by us, under another group id.
    restartOnFailure: async () => false,
  };
  const kafka = new kafkaJs.Kafka({
    brokers: [...settings.brokers],
    clientId: settings.clientId,
    connectionTimeout: settings.connectTimeoutMs,
    requestTimeout: settings.requestTimeoutMs,
    retry,
    logLevel: kafkaJs.logLevel.ERROR,
    // What it calls an error is mostly a retry: our own events say what matters.
    logCreator: () => (entry: LogEntry) =>
      log.debug({ event: 'kafka.client_said', namespace: entry.namespace, text: entry.log.message }),
  });
  return { kafka, settings, reporting: { log, observer }, retry };
}
