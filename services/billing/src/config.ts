/** The settings of a billing replica; the only reader of the environment here. */
import { crashPoints, parseCrashPlan, readConfig, secretCharsMin } from '@thermomesh/runtime';
import Type, { type Static } from 'typebox';

const Ms = (initial: number, description: string, minimum = 1) =>
  Type.Integer({ default: initial, minimum, description });
const Secret = (description: string) => Type.String({ minLength: secretCharsMin, description });

const Settings = Type.Object({
  REPLICA: Type.String({
    default: 'billing-1',
    pattern: '^[a-z0-9][a-z0-9-]{0,31}$',
    description: 'name of this replica, in logs and as holder',
  }),
  MESH_SECRET: Secret('the secret that callers’ tokens are derived from'),
  BILLING_SECRET: Secret(
    'payment tokens are encrypted and fingerprints are keyed with it; the same in every replica, and kept',
  ),
  PROCESSOR_SECRET: Secret('shared with the card processor'),
  PROCESSOR_URL: Type.String({ pattern: '^https?://', description: 'the card processor' }),
  DATABASE_URL: Type.String({ pattern: '^postgres(ql)?://', description: 'PostgreSQL' }),
  CALLERS: Type.String({
    default: 'gateway',
    pattern: '^[a-z0-9][a-z0-9-]{0,31}(,[a-z0-9][a-z0-9-]{0,31})*$',
    description: 'services that may pay, by name; keys are unique per caller',
  }),
  HTTP_HOST: Type.String({ default: '127.0.0.1' }),
  HTTP_PORT: Type.Integer({ default: 8085, minimum: 0, maximum: 65535, description: '0 takes a free one' }),
  ZOOKEEPER_HOSTS: Type.Optional(
    Type.String({
      pattern: '^[^,/\\s]+:\\d+(,[^,/\\s]+:\\d+)*$',
      description: 'host:port,…: this replica lists itself there',
    }),
  ),
  SERVICES_PATH: Type.String({
    default: '/thermomesh/services',
    pattern: '^(/[A-Za-z0-9_.-]+)+$',
    description: 'below this node of ZooKeeper services list themselves',
  }),
  ZOOKEEPER_SESSION_TIMEOUT_MS: Ms(
    4_000,
    'a replica that died is listed so long; the server grants 2 to 20 of its ticks',
    200,
  ),
  ANNOUNCED_HOST: Type.Optional(
    Type.String({
      pattern: '^[A-Za-z0-9:.-]+$',
      description: 'name or address at which callers reach this replica; HTTP_HOST if left out',
    }),
  ),
  LOG_LEVEL: Type.String({ default: 'info' }),
  BODY_BYTES_MAX: Type.Integer({ default: 16 * 1024, minimum: 1024, description: 'of one request' }),
  ANSWER_WAIT_MS: Ms(5_000, 'a call waits at most so long for the answer, then 409 with Retry-After'),
  ANSWER_POLL_MS: Ms(25, 'between two looks for the answers that calls wait for'),
  RETRY_AFTER_SECONDS: Type.Integer({ default: 1, minimum: 1, maximum: 3600 }),
  PROCESSOR_TIMEOUT_MS: Ms(1_500, 'one call of the processor; no answer by then is "unknown"'),
  PROCESSOR_PAUSE_MS: Ms(200, 'between two sends of one attempt', 0),
  PROCESSOR_SENDS_MAX: Type.Integer({
    default: 2,
    minimum: 1,
    maximum: 100,
    description: 'of one attempt, before the sweeper takes over',
  }),
  PROCESSOR_CONNECTIONS_MAX: Type.Integer({
    default: 512,
    minimum: 1,
    maximum: 10_000,
    description: 'calls of the processor under way at once',
  }),
  LEASE_MS: Ms(3_000, 'a holder that has written nothing for so long may be taken for dead'),
  SWEEP_INTERVAL_MS: Ms(250, 'between two looks for payments in doubt'),
  SWEEP_ROWS_MAX: Type.Integer({
    default: 32,
    minimum: 1,
    maximum: 1_000,
    description: 'payments in doubt that this replica works on at once',
  }),
  DOUBT_PAUSE_MS: Ms(500, 'the sweeper leaves a payment alone so long after an attempt gave up'),
  KEY_RETENTION_DAYS: Type.Integer({
    default: 730,
    minimum: 1,
    maximum: 36_500,
    description: 'answers are replayed so long; after that 410, and the UUID stays used for ever',
  }),
  DISPUTE_DAYS: Type.Integer({
    default: 540,
    minimum: 1,
    description: 'how long a charge can be disputed; no key is retired before',
  }),
  RETIRE_INTERVAL_MS: Ms(3_600_000, 'between two looks for answers to retire'),
  SQL_CONNECTIONS_MAX: Type.Integer({ default: 10, minimum: 1, maximum: 200 }),
  SQL_CONNECT_TIMEOUT_MS: Ms(2_000, 'to get a connection'),
  SQL_STATEMENT_TIMEOUT_MS: Ms(2_000, 'the server ends a statement then'),
  GATHER_OPERATIONS_MAX: Type.Integer({
    default: 64,
    minimum: 1,
    maximum: 1_000,
    description: 'operations that share one statement and one commit',
  }),
  GATHER_WAITING_MAX: Type.Integer({
    default: 10_000,
    minimum: 1,
    maximum: 1_000_000,
    description: 'calls that wait for a shared statement, of each kind; more get 503',
  }),
  STOP_TIMEOUT_MS: Ms(10_000, 'an orderly stop takes at most so long'),
  CRASH_POINT: Type.Optional(
    Type.String({ description: `tests only: name[:nth][:kill|stop], of ${crashPoints.join(', ')}` }),
  ),
  CRASH_WITNESS_FILE: Type.Optional(
    Type.String({ description: 'tests only: told when the crash point is hit' }),
  ),
});

export type Config = Static<typeof Settings>;

/** Reads and checks everything. @throws MeshError `config.invalid` with all faults */
export function readBillingConfig(env: NodeJS.ProcessEnv = process.env): Config {
  return readConfig(Settings, env, relations);
}

/** The one setting of the migration. */
export function readMigrateConfig(env: NodeJS.ProcessEnv = process.env): { DATABASE_URL: string } {
  return readConfig(Type.Pick(Settings, ['DATABASE_URL']), env);
}

/** Where callers reach this replica; undefined if nobody has said it. */
export function announcedHost({ ANNOUNCED_HOST: announced, HTTP_HOST: host }: Config): string | undefined {
  return announced ?? (['0.0.0.0', '::'].includes(host) ? undefined : host);
}

function relations(config: Config): string[] {
  const faults: string[] = [];
  // A holder that only waits for the processor must not be taken for dead: each send renews the lease.
  if (config.LEASE_MS <= config.PROCESSOR_TIMEOUT_MS + config.PROCESSOR_PAUSE_MS)
    faults.push('LEASE_MS must be above PROCESSOR_TIMEOUT_MS + PROCESSOR_PAUSE_MS');
  if (config.KEY_RETENTION_DAYS < config.DISPUTE_DAYS)
    faults.push(
      `KEY_RETENTION_DAYS (${config.KEY_RETENTION_DAYS}) must not be below DISPUTE_DAYS (${config.DISPUTE_DAYS})`,
    );
  if (config.ANSWER_POLL_MS >= config.ANSWER_WAIT_MS)
    faults.push('ANSWER_POLL_MS must be below ANSWER_WAIT_MS');
  if (config.GATHER_WAITING_MAX < config.GATHER_OPERATIONS_MAX)
    faults.push('GATHER_WAITING_MAX must not be below GATHER_OPERATIONS_MAX');
  // Nobody can call "every address of this machine".
  if (config.ZOOKEEPER_HOSTS !== undefined && announcedHost(config) === undefined)
    faults.push(
      `HTTP_HOST ${config.HTTP_HOST} cannot be announced: ANNOUNCED_HOST must say where callers reach this`,
    );
  // What is under way at a stop is finished first.
  if (config.PROCESSOR_TIMEOUT_MS >= config.STOP_TIMEOUT_MS)
    faults.push('PROCESSOR_TIMEOUT_MS must be below STOP_TIMEOUT_MS');
  if (new Set([config.MESH_SECRET, config.BILLING_SECRET, config.PROCESSOR_SECRET]).size < 3)
    faults.push('MESH_SECRET, BILLING_SECRET and PROCESSOR_SECRET must differ');
  try {
    parseCrashPlan(config.CRASH_POINT);
  } catch (error) {
    faults.push(`CRASH_POINT: ${(error as Error).message}`);
  }
  return faults;
}
