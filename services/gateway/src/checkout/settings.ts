/** The checkout's share of the gateway's settings: `config.ts` reads them with the rest. */
import { secretCharsMin } from '@thermomesh/runtime';
import Type, { type Static } from 'typebox';

const Ms = (initial: number, description: string, minimum = 1) =>
  Type.Integer({ default: initial, minimum, description });
const Count = (initial: number, description: string, maximum = 1_000_000) =>
  Type.Integer({ default: initial, minimum: 1, maximum, description });

/** What switches the checkout on: all four or none. */
export const switches = ['DATABASE_URL', 'REDIS_URL', 'BILLING_URLS', 'CHECKOUT_SECRET'] as const;

export const checkoutSettings = {
  DATABASE_URL: Type.Optional(
    Type.String({ pattern: '^postgres(ql)?://', description: 'PostgreSQL with the checkout’s schema' }),
  ),
  REDIS_URL: Type.Optional(
    Type.String({ pattern: '^rediss?://', description: 'Redis with AOF and noeviction: the queue' }),
  ),
  BILLING_URLS: Type.Optional(
    Type.String({
      pattern: '^https?://[^,\\s]+(,https?://[^,\\s]+)*$',
      description: 'replicas of billing, comma separated; with ZOOKEEPER_HOSTS while none is listed there',
    }),
  ),
  ZOOKEEPER_HOSTS: Type.Optional(
    Type.String({
      pattern: '^[^,/\\s]+:\\d+(,[^,/\\s]+:\\d+)*$',
      description: 'host:port,…: replicas of billing are found there; BILLING_URLS hold while none is listed',
    }),
  ),
  SERVICES_PATH: Type.String({
    default: '/thermomesh/services',
    pattern: '^(/[A-Za-z0-9_.-]+)+$',
    description: 'below this node of ZooKeeper services list themselves',
  }),
  ZOOKEEPER_SESSION_TIMEOUT_MS: Ms(4_000, 'of the session that follows the list', 200),
  CHECKOUT_SECRET: Type.Optional(
    Type.String({
      minLength: secretCharsMin,
      description: 'payment tokens are encrypted with it; the same in every gateway, and kept',
    }),
  ),
  CHECKOUT_QUEUE: Type.String({
    default: 'checkouts',
    pattern: '^[A-Za-z0-9][A-Za-z0-9_.-]{0,99}$',
    description: 'name of the queue: gateways of one database share it, others on the same Redis must not',
  }),
  CHECKOUT_REQUEUE_MS: Ms(
    15_000,
    'a checkout that is not final so long after its hand-over is handed over again',
  ),
  CHECKOUT_RELAY_INTERVAL_MS: Ms(1_000, 'between two looks into the outbox when nobody wakes the relay'),
  CHECKOUT_RELAY_ROWS_MAX: Count(200, 'checkouts handed over at once', 10_000),
  CHECKOUT_CONCURRENCY: Count(32, 'calls of billing at once', 1_000),
  CHECKOUT_CALL_TIMEOUT_MS: Ms(6_000, 'one attempt at billing, its retries included'),
  CHECKOUT_TRY_TIMEOUT_MS: Ms(3_000, 'one try at one replica of billing; then the next one is asked'),
  CHECKOUT_BACKOFF_FIRST_MS: Ms(200, 'bound of the first pause after an attempt without an answer'),
  CHECKOUT_BACKOFF_MAX_MS: Ms(5_000, 'bound of the longest one'),
  CHECKOUT_LOCK_MS: Ms(5_000, 'a worker that has not renewed its lock for so long has lost its job', 100),
  CHECKOUT_STALLED_INTERVAL_MS: Ms(2_000, 'between two looks for jobs whose worker is gone', 50),
  CHECKOUT_REDIS_CHECK_MS: Ms(1_000, 'between two looks at Redis; one that takes longer has failed', 20),
  CHECKOUT_SQL_CONNECTIONS_MAX: Count(10, 'connections to PostgreSQL', 200),
  CHECKOUT_SQL_TIMEOUT_MS: Ms(2_000, 'to connect, and for one statement'),
  CHECKOUT_RETRY_AFTER_SECONDS: Count(2, 'what a 503 of the checkout says', 3_600),
  CHECKOUT_REQUESTS_PER_MINUTE_MAX: Count(6_000, 'of one API key at this gateway'),
  CHECKOUT_ADDRESS_REQUESTS_PER_MINUTE_MAX: Count(
    30_000,
    'of one address, before anybody is asked who he is',
  ),
  CHECKOUT_STREAMS_MAX: Count(1_000, 'event streams open at once', 100_000),
  CHECKOUT_STREAMS_PER_CALLER_MAX: Count(200, 'of them of one API key', 100_000),
  CHECKOUT_HEARTBEAT_MS: Ms(15_000, 'between two comments on an event stream'),
  CHECKOUT_WATCH_INTERVAL_MS: Ms(200, 'between two looks for final answers that streams wait for'),
} as const;

const CheckoutSettings = Type.Object(checkoutSettings);
export type CheckoutSettings = Static<typeof CheckoutSettings>;

/** The settings of a checkout that is on. */
export type CheckoutConfig = CheckoutSettings & Required<Pick<CheckoutSettings, (typeof switches)[number]>>;

/** The settings if the checkout is on; undefined if it is off. */
export function checkoutConfigOf(config: CheckoutSettings): CheckoutConfig | undefined {
  return isOn(config) ? config : undefined;
}

function isOn(config: CheckoutSettings): config is CheckoutConfig {
  return switches.every((name) => config[name] !== undefined);
}

/** What is wrong between the checkout's settings and the rest. */
export function checkoutFaults(
  config: CheckoutSettings & { MESH_SECRET: string; STOP_TIMEOUT_MS: number },
): string[] {
  const missing = switches.filter((name) => config[name] === undefined);
  if (missing.length === switches.length) return [];
  const faults: string[] = [];
  if (missing.length > 0)
    faults.push(`the checkout needs ${switches.join(', ')} together; ${missing.join(', ')} missing`);
  const below = (low: keyof typeof config, high: keyof typeof config) => {
    if (Number(config[low]) >= Number(config[high]))
      faults.push(`${low} (${config[low]}) must be below ${high} (${config[high]})`);
  };
  // A frozen replica leaves time for another one within the same attempt.
  below('CHECKOUT_TRY_TIMEOUT_MS', 'CHECKOUT_CALL_TIMEOUT_MS');
  // No API key can take all event streams.
  below('CHECKOUT_STREAMS_PER_CALLER_MAX', 'CHECKOUT_STREAMS_MAX');
  // What is under way at a stop is finished first.
  below('CHECKOUT_CALL_TIMEOUT_MS', 'STOP_TIMEOUT_MS');
  // Work that goes well is not handed over a second time.
  below('CHECKOUT_CALL_TIMEOUT_MS', 'CHECKOUT_REQUEUE_MS');
  below('CHECKOUT_RELAY_INTERVAL_MS', 'CHECKOUT_REQUEUE_MS');
  if (config.CHECKOUT_BACKOFF_FIRST_MS > config.CHECKOUT_BACKOFF_MAX_MS)
    faults.push('CHECKOUT_BACKOFF_FIRST_MS must not be above CHECKOUT_BACKOFF_MAX_MS');
  if (config.CHECKOUT_SECRET === config.MESH_SECRET)
    faults.push('CHECKOUT_SECRET and MESH_SECRET must differ');
  return faults;
}
