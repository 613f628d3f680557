/** Settings of the broker; the gateway's `config.ts` reads them with the others. */
import { count, ms, port, type BackoffLimits } from '@thermomesh/runtime';
import Type, { type Static } from 'typebox';
import type { WindowLimits } from './core/drain-window.ts';
import type { KeptLimits } from './core/kept-groups.ts';
import type { Qos0Limits } from './core/qos0-queue.ts';

const KiB = 1024;
const MiB = 1024 * KiB;
const GiB = 1024 * MiB;

/** The settings as TypeBox properties. */
export const brokerSettings = {
  DATA_DIR: Type.String({
    minLength: 1,
    description: 'Folder of the message store. Each gateway needs a folder of its own.',
  }),
  MQTT_HOST: Type.String({ default: '127.0.0.1', description: 'Address that MQTT listens on.' }),
  MQTT_PORT: port(1883, 'TCP port of MQTT; 0 takes a free one.'),
  ALLOW_ANONYMOUS: Type.Boolean({
    default: false,
    description:
      'Accepts clients without a user name. Such a client is the device that its client id names, which must begin with anonymous-.',
  }),
  BUFFER_BYTES_MAX: count(
    4 * GiB,
    'Maximum size of the messages that wait for the drain session, in bytes. Above it devices get no PUBACK until space is freed.',
    { minimum: 64 * KiB },
  ),
  BUFFER_MESSAGES_MAX: count(
    50_000_000,
    'Maximum number of messages that wait for the drain session. Above it devices get no PUBACK.',
  ),
  DRAINED_KEPT_BYTES_MAX: count(
    64 * MiB,
    'Maximum size of the messages that the coordinator has acknowledged and that are kept for a restored database, in bytes; 0 keeps none. The oldest are removed first.',
    { minimum: 0 },
  ),
  DRAINED_KEPT_MS: ms(
    600_000,
    'How long acknowledged messages are kept for a restored database. It begins again when the gateway starts.',
    { minimum: 0 },
  ),
  SESSION_MESSAGES_MAX: count(
    100_000,
    'Maximum number of messages in the queue of one persistent session other than the drain session. Above it new messages are not queued for that session.',
  ),
  SESSIONS_BYTES_MAX: count(
    GiB,
    'Maximum size of the messages that only persistent sessions other than the drain session still need, in bytes. Above it nothing more is queued for them.',
    { minimum: 64 * KiB },
  ),
  SESSION_EXPIRY_MS: ms(
    7 * 24 * 3_600_000,
    'Time without a connection after which a persistent session other than the drain session ends. Only the time in which the gateway runs counts; a restart does not begin it again.',
    { minimum: 1000 },
  ),
  COMMIT_LINGER_MS: ms(2, 'How long publishes gather before they are committed together.', {
    minimum: 0,
    maximum: 1000,
  }),
  COMMIT_LINGER_MESSAGES_MAX: count(
    128,
    'Number of waiting publishes that are committed at once, without COMMIT_LINGER_MS.',
  ),
  COMMIT_RETRY_MIN_MS: ms(50, 'First pause after a failed commit; each further pause is twice as long.'),
  COMMIT_RETRY_MAX_MS: ms(2_000, 'Upper bound of the pause after a failed commit.'),
  PUBLISH_BYTES_MAX: count(MiB, 'Maximum size of the payload of one publish, in bytes.', {
    minimum: KiB,
    maximum: 64 * MiB,
  }),
  QOS0: Type.Enum(['relay', 'store'], {
    default: 'relay',
    description:
      'What happens to readings at QoS 0. relay: subscribers get them, and they are not stored. store: they are stored too, best effort, outside I1 and I6.',
  }),
  QOS0_QUEUE_MESSAGES_MAX: count(
    10_000,
    'Maximum number of readings at QoS 0 that wait in memory for the coordinator, with QOS0=store. Above it they are dropped and counted.',
  ),
  QOS0_QUEUE_BYTES_MAX: count(
    8 * MiB,
    'Maximum size of these readings, in bytes. Above it they are dropped and counted.',
    { minimum: KiB },
  ),
  DRAIN_WINDOW_MESSAGES: count(
    8_000,
    'Maximum number of messages sent to the coordinator and not yet acknowledged. MQTT has 65,535 packet ids.',
    { maximum: 65_534 },
  ),
  DRAIN_WINDOW_BYTES: count(
    8 * MiB,
    'Maximum size of messages sent to the coordinator and not yet acknowledged, in bytes. A single message may be larger.',
    { minimum: KiB },
  ),
  SUBSCRIBER_BUFFER_BYTES_MAX: count(
    4 * MiB,
    'Maximum number of unsent bytes of one live subscriber. Above it the subscriber is disconnected.',
    { minimum: KiB },
  ),
  CONNECTIONS_MAX: count(10_000, 'Maximum number of open MQTT connections.'),
  CONNECT_TIMEOUT_MS: ms(10_000, 'Time limit for the CONNECT of a new connection.', { minimum: 100 }),
};

const Settings = Type.Object(brokerSettings);
export type BrokerConfig = Static<typeof Settings>;

/** The settings as the broker uses them. */
export interface BrokerOptions {
  /** Secret of the mesh, from which the tokens of MQTT clients are derived. */
  secret: string;
  dataFolder: string;
  host: string;
  port: number;
  allowAnonymous: boolean;
  buffer: BufferLimits;
  /** How much of the acknowledged messages is kept for a restored database, and for how long. */
  kept: KeptLimits;
  /** Limits of the persistent sessions other than the drain session. */
  sessions: { messagesMax: number; bytesMax: number; expiryMs: number };
  commit: { lingerMs: number; lingerMessagesMax: number; retry: BackoffLimits };
  /** Readings at QoS 0, and the limits of their queue. */
  qos0: { mode: 'relay' | 'store'; limits: Qos0Limits };
  publishBytesMax: number;
  drainWindow: WindowLimits;
  subscriberBufferBytesMax: number;
  connectionsMax: number;
  connectTimeoutMs: number;
}

/** Bounds of what waits for the drain session. */
export interface BufferLimits {
  bytesMax: number;
  messagesMax: number;
}

/** Translates the settings. */
export function brokerOptions(config: BrokerConfig & { MESH_SECRET: string }): BrokerOptions {
  return {
    secret: config.MESH_SECRET,
    dataFolder: config.DATA_DIR,
    host: config.MQTT_HOST,
    port: config.MQTT_PORT,
    allowAnonymous: config.ALLOW_ANONYMOUS,
    buffer: { bytesMax: config.BUFFER_BYTES_MAX, messagesMax: config.BUFFER_MESSAGES_MAX },
    kept: { bytesMax: config.DRAINED_KEPT_BYTES_MAX, keptMs: config.DRAINED_KEPT_MS },
    sessions: {
      messagesMax: config.SESSION_MESSAGES_MAX,
      bytesMax: config.SESSIONS_BYTES_MAX,
      expiryMs: config.SESSION_EXPIRY_MS,
    },
    commit: {
      lingerMs: config.COMMIT_LINGER_MS,
      lingerMessagesMax: config.COMMIT_LINGER_MESSAGES_MAX,
      retry: { minMs: config.COMMIT_RETRY_MIN_MS, maxMs: config.COMMIT_RETRY_MAX_MS },
    },
    qos0: {
      mode: config.QOS0,
      limits: { messagesMax: config.QOS0_QUEUE_MESSAGES_MAX, bytesMax: config.QOS0_QUEUE_BYTES_MAX },
    },
    publishBytesMax: config.PUBLISH_BYTES_MAX,
    drainWindow: { messagesMax: config.DRAIN_WINDOW_MESSAGES, bytesMax: config.DRAIN_WINDOW_BYTES },
    subscriberBufferBytesMax: config.SUBSCRIBER_BUFFER_BYTES_MAX,
    connectionsMax: config.CONNECTIONS_MAX,
    connectTimeoutMs: config.CONNECT_TIMEOUT_MS,
  };
}

type CheckedConfig = BrokerConfig & { STOP_TIMEOUT_MS: number };

/** Describes limits of the broker that do not fit each other. */
export function brokerIssues(config: CheckedConfig): string[] {
  const issues: string[] = [];
  const notAbove = (low: keyof CheckedConfig, high: keyof CheckedConfig, times = 1) => {
    if (Number(config[low]) * times > Number(config[high])) {
      const factor = times === 1 ? '' : `${times} × `;
      issues.push(`${factor}${low} (${config[low]}) must not be above ${high} (${config[high]})`);
    }
  };
  // A publish that was held must fit in once the buffer is empty.
  notAbove('PUBLISH_BYTES_MAX', 'BUFFER_BYTES_MAX', 2);
  notAbove('DRAIN_WINDOW_BYTES', 'BUFFER_BYTES_MAX');
  notAbove('COMMIT_RETRY_MIN_MS', 'COMMIT_RETRY_MAX_MS');
  notAbove('COMMIT_LINGER_MS', 'STOP_TIMEOUT_MS');
  return issues;
}
