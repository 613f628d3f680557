/** The settings of the gateway; the only reader of the environment here. */
import { crashPoints, messageOf, parseCrashPlan, readConfig, secretCharsMin } from '@thermomesh/runtime';
import Type, { type Static } from 'typebox';
import { checkoutFaults, checkoutSettings } from './checkout/settings.ts';
import { jobsFaults, jobsSettings } from './jobs/settings.ts';

const KiB = 1024;
const MiB = 1024 * KiB;
const GiB = 1024 * MiB;
const Port = (initial: number) =>
  Type.Integer({ default: initial, minimum: 0, maximum: 65_535, description: '0 takes a free one' });

const Settings = Type.Object({
  MESH_SECRET: Type.String({
    minLength: secretCharsMin,
    description: 'the secret that tokens are derived from',
  }),
  DATA_DIR: Type.String({ minLength: 1, description: 'folder of the store; one gateway a folder' }),
  MQTT_HOST: Type.String({ default: '127.0.0.1', description: 'address of the MQTT port' }),
  MQTT_PORT: Port(1883),
  HTTP_HOST: Type.String({ default: '127.0.0.1', description: 'address of the HTTP port' }),
  HTTP_PORT: Port(8080),
  API_KEYS_FILE: Type.Optional(Type.String({ description: 'hashes of API keys (mesh api-key)' })),
  LOG_LEVEL: Type.String({ default: 'info', description: 'trace, debug, info, warn, error, fatal' }),
  ALLOW_ANONYMOUS: Type.Boolean({
    default: false,
    description: 'lets in clients without a user name as the device that their id names: anonymous-…',
  }),
  BUFFER_BYTES_MAX: Type.Integer({
    default: 4 * GiB,
    minimum: 64 * KiB,
    description: 'stored messages in bytes; above it devices get no PUBACK until space is freed',
  }),
  BUFFER_MESSAGES_MAX: Type.Integer({
    default: 50_000_000,
    minimum: 1,
    description: 'messages that wait for the drain session; above it the same',
  }),
  COMMIT_LINGER_MS: Type.Integer({
    default: 2,
    minimum: 0,
    maximum: 1000,
    description: 'how long publishes gather before they are committed together',
  }),
  COMMIT_LINGER_MESSAGES_MAX: Type.Integer({
    default: 128,
    minimum: 1,
    description: 'so many publishes that wait are committed without lingering',
  }),
  COMMIT_RETRY_MIN_MS: Type.Integer({
    default: 50,
    minimum: 1,
    description: 'first pause after a commit that failed',
  }),
  COMMIT_RETRY_MAX_MS: Type.Integer({ default: 2_000, minimum: 1, description: 'longest pause' }),
  PUBLISH_BYTES_MAX: Type.Integer({
    default: MiB,
    minimum: KiB,
    maximum: 64 * MiB,
    description: 'payload of one publish',
  }),
  DRAIN_WINDOW_MESSAGES: Type.Integer({
    default: 8_000,
    minimum: 1,
    maximum: 65_534,
    description: 'sent to the coordinator and not acknowledged; packet ids end at 65,535',
  }),
  DRAIN_WINDOW_BYTES: Type.Integer({
    default: 8 * MiB,
    minimum: KiB,
    description: 'the same in bytes; one message always goes',
  }),
  SUBSCRIBER_BUFFER_BYTES_MAX: Type.Integer({
    default: 4 * MiB,
    minimum: KiB,
    description: 'unsent to one live subscriber; above it the subscriber is disconnected',
  }),
  CONNECTIONS_MAX: Type.Integer({ default: 10_000, minimum: 1, description: 'open MQTT connections' }),
  CONNECT_TIMEOUT_MS: Type.Integer({
    default: 10_000,
    minimum: 100,
    description: 'a connection says who it is by then',
  }),
  STOP_TIMEOUT_MS: Type.Integer({
    default: 10_000,
    minimum: 100,
    description: 'an orderly stop takes at most so long',
  }),
  CRASH_POINT: Type.Optional(
    Type.String({ description: `tests only: name[:nth][:kill|stop], of ${crashPoints.join(', ')}` }),
  ),
  CRASH_WITNESS_FILE: Type.Optional(
    Type.String({ description: 'tests only: told when the crash point is hit' }),
  ),
  ...checkoutSettings,
  ...jobsSettings,
});

export type Config = Static<typeof Settings>;

/** Reads and checks everything. @throws MeshError `config.invalid` with all faults */
export function readGatewayConfig(env: NodeJS.ProcessEnv = process.env): Config {
  return readConfig(Settings, env, relations);
}

/** The one setting of the migration. */
export function readMigrateConfig(env: NodeJS.ProcessEnv = process.env): { DATABASE_URL: string } {
  const Migration = Type.Object({ DATABASE_URL: Type.String({ pattern: '^postgres(ql)?://' }) });
  return readConfig(Migration, env);
}

function relations(config: Config): string[] {
  const faults: string[] = [];
  const notAbove = (low: keyof Config, high: keyof Config, times = 1) => {
    if (Number(config[low]) * times > Number(config[high])) {
      const factor = times === 1 ? '' : `${times} × `;
      faults.push(`${factor}${low} (${config[low]}) must not be above ${high} (${config[high]})`);
    }
  };
  // A held message must find room again once the buffer is empty.
  notAbove('PUBLISH_BYTES_MAX', 'BUFFER_BYTES_MAX', 2);
  notAbove('DRAIN_WINDOW_BYTES', 'BUFFER_BYTES_MAX');
  notAbove('COMMIT_RETRY_MIN_MS', 'COMMIT_RETRY_MAX_MS');
  notAbove('COMMIT_LINGER_MS', 'STOP_TIMEOUT_MS');
  faults.push(...checkoutFaults(config), ...jobsFaults(config));
  try {
    parseCrashPlan(config.CRASH_POINT);
  } catch (error) {
    faults.push(`CRASH_POINT: ${messageOf(error)}`);
  }
  return faults;
}
