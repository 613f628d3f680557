/** Settings of the checkout; the gateway's `config.ts` reads them with the others. */
import { count, ms, postgresUrl, secret, type BackoffLimits } from '@thermomesh/runtime';
import Type, { type Static } from 'typebox';
import { discoveryOptions, type DiscoveryConfig, type DiscoveryOptions } from '../discovery-settings.ts';
import type { RelayLimits } from './relay.ts';

/** The settings that switch the checkout on: all four or none. */
export const switches = ['DATABASE_URL', 'REDIS_URL', 'BILLING_URLS', 'CHECKOUT_SECRET'] as const;

/** A number of things with an upper bound. */
const bounded = (initial: number, description: string, maximum = 1_000_000) =>
  count(initial, description, { maximum });

const connectionSettings = {
  DATABASE_URL: Type.Optional(postgresUrl('URL of the PostgreSQL database of checkouts and commands.')),
  REDIS_URL: Type.Optional(
    Type.String({
      pattern: '^rediss?://',
      description: 'URL of the Redis that holds the queue. It must have AOF on and the policy noeviction.',
    }),
  ),
  BILLING_URLS: Type.Optional(
    Type.String({
      pattern: '^https?://[^,\\s]+(,https?://[^,\\s]+)*$',
      description:
        'URLs of billing replicas, separated by commas. With ZOOKEEPER_HOSTS they are used only while no replica is listed there.',
    }),
  ),
  CHECKOUT_SECRET: Type.Optional(
    secret('Secret that encrypts payment tokens. It is the same in every gateway and must not be lost.'),
  ),
  CHECKOUT_SQL_CONNECTIONS_MAX: bounded(10, 'Maximum number of connections to PostgreSQL.', 200),
  CHECKOUT_SQL_TIMEOUT_MS: ms(2_000, 'Time limit for a connection to PostgreSQL, and for one statement.'),
  CHECKOUT_REDIS_CHECK_MS: ms(1_000, 'Interval of the checks of Redis, and the time limit of one check.', {
    minimum: 20,
  }),
};

const workSettings = {
  CHECKOUT_QUEUE: Type.String({
    default: 'checkouts',
    pattern: '^[A-Za-z0-9][A-Za-z0-9_.-]{0,99}$',
    description:
      'Name of the queue. Gateways with the same database share it; others on the same Redis need another name.',
  }),
  CHECKOUT_REQUEUE_MS: ms(
    15_000,
    'Time after which a checkout that was handed to the queue and is not final is handed over again.',
  ),
  CHECKOUT_RELAY_INTERVAL_MS: ms(1_000, 'Interval at which the relay reads the outbox if nothing wakes it.'),
  CHECKOUT_RELAY_ROWS_MAX: bounded(200, 'Maximum number of checkouts handed to the queue at once.', 10_000),
  CHECKOUT_CONCURRENCY: bounded(32, 'Maximum number of concurrent calls to billing.', 1_000),
  CHECKOUT_CALL_TIMEOUT_MS: ms(6_000, 'Time limit for one attempt at billing, with all its tries.'),
  CHECKOUT_TRY_TIMEOUT_MS: ms(
    3_000,
    'Time limit for one try at one billing replica; the next replica is tried then.',
  ),
  CHECKOUT_BACKOFF_FIRST_MS: ms(
    200,
    'Upper bound of the pause after the first attempt without an answer; it doubles with each further attempt.',
  ),
  CHECKOUT_BACKOFF_MAX_MS: ms(5_000, 'Upper bound of every pause after an attempt without an answer.'),
  CHECKOUT_LOCK_MS: ms(5_000, 'Time after which a worker that has not renewed its lock loses its job.', {
    minimum: 100,
  }),
  CHECKOUT_STALLED_INTERVAL_MS: ms(2_000, 'Interval of the search for jobs whose worker has died.', {
    minimum: 50,
  }),
};

const httpSettings = {
  CHECKOUT_RETRY_AFTER_SECONDS: bounded(2, 'Retry-After of a 503 of the checkout, in seconds.', 3_600),
  CHECKOUT_REQUESTS_PER_MINUTE_MAX: bounded(
    6_000,
    'Maximum number of requests per minute of one API key at this gateway.',
  ),
  CHECKOUT_ADDRESS_REQUESTS_PER_MINUTE_MAX: bounded(
    30_000,
    'Maximum number of requests per minute of one address, counted before authentication.',
  ),
  CHECKOUT_STREAMS_MAX: bounded(1_000, 'Maximum number of open event streams.', 100_000),
  CHECKOUT_STREAMS_PER_CALLER_MAX: bounded(
    200,
    'Maximum number of open event streams of one API key.',
    100_000,
  ),
  CHECKOUT_HEARTBEAT_MS: ms(15_000, 'Interval of the comments that keep an event stream alive.'),
  CHECKOUT_WATCH_INTERVAL_MS: ms(200, 'Interval of the query for final answers that event streams wait for.'),
};

/** The settings as TypeBox properties. */
export const checkoutSettings = { ...connectionSettings, ...workSettings, ...httpSettings };

const Settings = Type.Object(checkoutSettings);
export type CheckoutConfig = Static<typeof Settings> & DiscoveryConfig;

/** The settings as the checkout uses them. */
export interface CheckoutOptions {
  /** Encrypts payment tokens. */
  secret: string;
  sql: { url: string; connectionsMax: number; timeoutMs: number };
  billing: BillingOptions;
  queue: QueueLimits & { url: string; name: string };
  relay: RelayLimits;
  streams: { streamsMax: number; streamsPerCallerMax: number; heartbeatMs: number; watchIntervalMs: number };
  retryAfterSeconds: number;
}

/** Where billing is, and how long a call may take. */
export interface BillingOptions {
  /** Replicas that are used while discovery lists none. */
  staticUrls: readonly string[];
  /** Undefined without ZooKeeper. */
  discovery: DiscoveryOptions | undefined;
  callTimeoutMs: number;
  tryTimeoutMs: number;
}

/** Limits of the queue. */
export interface QueueLimits {
  concurrency: number;
  lockMs: number;
  stalledIntervalMs: number;
  /** Interval of the checks of Redis, and the time limit of one check. */
  checkMs: number;
  backoff: BackoffLimits;
}

type CompleteConfig = CheckoutConfig & Required<Pick<CheckoutConfig, (typeof switches)[number]>>;

function isOn(config: CheckoutConfig): config is CompleteConfig {
  return switches.every((name) => config[name] !== undefined);
}

/** Undefined if the checkout is switched off. */
export function checkoutOptions(config: CheckoutConfig): CheckoutOptions | undefined {
  if (!isOn(config)) return undefined;
  return {
    secret: config.CHECKOUT_SECRET,
    sql: {
      url: config.DATABASE_URL,
      connectionsMax: config.CHECKOUT_SQL_CONNECTIONS_MAX,
      timeoutMs: config.CHECKOUT_SQL_TIMEOUT_MS,
    },
    billing: {
      staticUrls: config.BILLING_URLS.split(','),
      discovery: discoveryOptions(config),
      callTimeoutMs: config.CHECKOUT_CALL_TIMEOUT_MS,
      tryTimeoutMs: config.CHECKOUT_TRY_TIMEOUT_MS,
    },
    queue: {
      url: config.REDIS_URL,
      name: config.CHECKOUT_QUEUE,
      concurrency: config.CHECKOUT_CONCURRENCY,
      lockMs: config.CHECKOUT_LOCK_MS,
      stalledIntervalMs: config.CHECKOUT_STALLED_INTERVAL_MS,
      checkMs: config.CHECKOUT_REDIS_CHECK_MS,
      backoff: { minMs: config.CHECKOUT_BACKOFF_FIRST_MS, maxMs: config.CHECKOUT_BACKOFF_MAX_MS },
    },
    relay: {
      intervalMs: config.CHECKOUT_RELAY_INTERVAL_MS,
      rowsMax: config.CHECKOUT_RELAY_ROWS_MAX,
      requeueMs: config.CHECKOUT_REQUEUE_MS,
    },
    streams: {
      streamsMax: config.CHECKOUT_STREAMS_MAX,
      streamsPerCallerMax: config.CHECKOUT_STREAMS_PER_CALLER_MAX,
      heartbeatMs: config.CHECKOUT_HEARTBEAT_MS,
      watchIntervalMs: config.CHECKOUT_WATCH_INTERVAL_MS,
    },
    retryAfterSeconds: config.CHECKOUT_RETRY_AFTER_SECONDS,
  };
}

type CheckedConfig = CheckoutConfig & { MESH_SECRET: string; STOP_TIMEOUT_MS: number };

/** Describes settings of the checkout that do not fit each other or the gateway's. */
export function checkoutIssues(config: CheckedConfig): string[] {
  const missing = switches.filter((name) => config[name] === undefined);
  const present = switches.filter((name) => config[name] !== undefined);
  // A database alone is for the commands to devices.
  if (present.every((name) => name === 'DATABASE_URL')) return [];
  const issues: string[] = [];
  if (missing.length > 0)
    issues.push(`the checkout needs ${switches.join(', ')} together; ${missing.join(', ')} missing`);
  const below = (low: keyof CheckedConfig, high: keyof CheckedConfig) => {
    if (Number(config[low]) >= Number(config[high]))
      issues.push(`${low} (${config[low]}) must be below ${high} (${config[high]})`);
  };
  // A frozen replica leaves time for another one within the same attempt.
  below('CHECKOUT_TRY_TIMEOUT_MS', 'CHECKOUT_CALL_TIMEOUT_MS');
  // No API key can take all event streams.
  below('CHECKOUT_STREAMS_PER_CALLER_MAX', 'CHECKOUT_STREAMS_MAX');
  // An attempt that is under way when the gateway stops can finish.
  below('CHECKOUT_CALL_TIMEOUT_MS', 'STOP_TIMEOUT_MS');
  // An attempt that succeeds is not handed over a second time.
  below('CHECKOUT_CALL_TIMEOUT_MS', 'CHECKOUT_REQUEUE_MS');
  below('CHECKOUT_RELAY_INTERVAL_MS', 'CHECKOUT_REQUEUE_MS');
  if (config.CHECKOUT_BACKOFF_FIRST_MS > config.CHECKOUT_BACKOFF_MAX_MS)
    issues.push('CHECKOUT_BACKOFF_FIRST_MS must not be above CHECKOUT_BACKOFF_MAX_MS');
  if (config.CHECKOUT_SECRET === config.MESH_SECRET)
    issues.push('CHECKOUT_SECRET and MESH_SECRET must differ');
  return issues;
}
