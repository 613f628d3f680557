/** Settings of the commands to devices; the gateway's `config.ts` reads them with the others. */
import { count, ms } from '@thermomesh/runtime';
import Type, { type Static } from 'typebox';
import type { RetryLimits } from './core/due-devices.ts';
import type { AcceptLimits } from './core/ports.ts';

const daySeconds = 86_400;

/** The settings as TypeBox properties. The commands also need `DATABASE_URL`. */
export const commandSettings = {
  COMMAND_EXPIRES_SECONDS: count(3_600, 'Time until the deadline of a command that names none, in seconds.', {
    maximum: 366 * daySeconds,
  }),
  COMMAND_EXPIRES_SECONDS_MIN: count(1, 'Minimum time until the deadline of a new command, in seconds.', {
    maximum: 366 * daySeconds,
  }),
  COMMAND_EXPIRES_SECONDS_MAX: count(
    7 * daySeconds,
    'Maximum time until the deadline of a new command, in seconds.',
    { maximum: 366 * daySeconds },
  ),
  COMMAND_OPEN_MAX: count(20, 'Maximum number of open commands of one device; above it, 429.', {
    maximum: 1_000,
  }),
  COMMAND_MARGIN_MS: ms(
    250,
    'A command whose deadline is nearer than this is not sent any more. A connection that has not confirmed a command this long before its deadline is reset.',
    { minimum: 10, maximum: 60_000 },
  ),
  COMMAND_RETRY_MIN_MS: ms(
    2_000,
    'Pause after which a command that is not acknowledged is sent again; it doubles with each repetition.',
    { minimum: 20 },
  ),
  COMMAND_RETRY_MAX_MS: ms(30_000, 'Upper bound of the pause before a command is sent again.', {
    minimum: 20,
  }),
  COMMAND_INTERVAL_MS: ms(
    1_000,
    'Interval at which the gateway looks for commands that other gateways have accepted, and for deadlines that have passed.',
    { minimum: 20, maximum: 60_000 },
  ),
  COMMAND_KEEP_DAYS: count(30, 'How long a final command and its Idempotency-Key are kept, in days.', {
    maximum: 3_660,
  }),
  COMMAND_SQL_CONNECTIONS_MAX: count(4, 'Maximum number of connections to PostgreSQL.', { maximum: 200 }),
  COMMAND_SQL_TIMEOUT_MS: ms(2_000, 'Time limit for a connection to PostgreSQL, and for one statement.'),
  COMMAND_REQUESTS_PER_MINUTE_MAX: count(
    600,
    'Maximum number of requests per minute of one API key at the routes of commands, at this gateway.',
    { maximum: 1_000_000 },
  ),
  COMMAND_STREAMS_MAX: count(500, 'Maximum number of open event streams of commands.', { maximum: 100_000 }),
  COMMAND_STREAMS_PER_CALLER_MAX: count(100, 'Maximum number of open event streams of one API key.', {
    maximum: 100_000,
  }),
};

const Settings = Type.Object({ ...commandSettings, DATABASE_URL: Type.Optional(Type.String()) });
export type CommandConfig = Static<typeof Settings>;

/** The settings as the commands use them. */
export interface CommandOptions {
  sql: { url: string; connectionsMax: number; timeoutMs: number };
  accept: AcceptLimits;
  /** Time until the deadline of a command that names none. */
  expiresMs: number;
  delivery: DeliveryLimits;
  streams: { streamsMax: number; streamsPerCallerMax: number; heartbeatMs: number; watchIntervalMs: number };
  requestsPerMinuteMax: number;
  /** Value of Retry-After of a 503 or 429. */
  retryAfterSeconds: number;
}

/** Limits of the delivery. */
export interface DeliveryLimits extends RetryLimits {
  marginMs: number;
  intervalMs: number;
  keepMs: number;
}

const retryAfterSeconds = 2;
const heartbeatMs = 15_000;
const watchIntervalMs = 200;

/** Undefined without a database. */
export function commandOptions(config: CommandConfig): CommandOptions | undefined {
  if (config.DATABASE_URL === undefined) return undefined;
  return {
    sql: {
      url: config.DATABASE_URL,
      connectionsMax: config.COMMAND_SQL_CONNECTIONS_MAX,
      timeoutMs: config.COMMAND_SQL_TIMEOUT_MS,
    },
    accept: {
      expiresMinMs: config.COMMAND_EXPIRES_SECONDS_MIN * 1_000,
      expiresMaxMs: config.COMMAND_EXPIRES_SECONDS_MAX * 1_000,
      openMax: config.COMMAND_OPEN_MAX,
    },
    expiresMs: config.COMMAND_EXPIRES_SECONDS * 1_000,
    delivery: {
      marginMs: config.COMMAND_MARGIN_MS,
      retryMinMs: config.COMMAND_RETRY_MIN_MS,
      retryMaxMs: config.COMMAND_RETRY_MAX_MS,
      intervalMs: config.COMMAND_INTERVAL_MS,
      keepMs: config.COMMAND_KEEP_DAYS * daySeconds * 1_000,
    },
    streams: {
      streamsMax: config.COMMAND_STREAMS_MAX,
      streamsPerCallerMax: config.COMMAND_STREAMS_PER_CALLER_MAX,
      heartbeatMs,
      watchIntervalMs,
    },
    requestsPerMinuteMax: config.COMMAND_REQUESTS_PER_MINUTE_MAX,
    retryAfterSeconds,
  };
}

/** Describes settings of the commands that do not fit each other. */
export function commandIssues(config: CommandConfig): string[] {
  const issues: string[] = [];
  const within = (low: keyof CommandConfig, high: keyof CommandConfig) => {
    if (Number(config[low]) > Number(config[high]))
      issues.push(`${low} (${config[low]}) must not be above ${high} (${config[high]})`);
  };
  within('COMMAND_EXPIRES_SECONDS_MIN', 'COMMAND_EXPIRES_SECONDS');
  within('COMMAND_EXPIRES_SECONDS', 'COMMAND_EXPIRES_SECONDS_MAX');
  within('COMMAND_RETRY_MIN_MS', 'COMMAND_RETRY_MAX_MS');
  within('COMMAND_STREAMS_PER_CALLER_MAX', 'COMMAND_STREAMS_MAX');
  // The shortest command can be sent.
  if (config.COMMAND_MARGIN_MS * 2 > config.COMMAND_EXPIRES_SECONDS_MIN * 1_000)
    issues.push('COMMAND_MARGIN_MS must be at most half of COMMAND_EXPIRES_SECONDS_MIN');
  return issues;
}
