/** The settings of a billing replica. No other file of the replica reads the environment. */
import {
  announcedHost,
  announcedHostIssues,
  announcedHostSettings,
  count,
  crashPlanIssues,
  crashPointSettings,
  hostList,
  ms,
  port,
  postgresUrl,
  processSettings,
  readConfig,
  secret,
  znodePath,
} from '@thermomesh/runtime';
import Type, { type Static } from 'typebox';

const Settings = Type.Object({
  REPLICA: Type.String({
    default: 'billing-1',
    pattern: '^[a-z0-9][a-z0-9-]{0,31}$',
    description: 'Name of this replica, in logs and as holder of operations.',
  }),
  ...processSettings,
  ...crashPointSettings,
  ...announcedHostSettings,
  HTTP_PORT: port(8085, 'TCP port of HTTP; 0 takes a free one.'),
  MESH_SECRET: secret('Secret of the mesh, from which the tokens of all callers are derived.'),
  BILLING_SECRET: secret(
    'Secret that encrypts payment tokens and keys fingerprints. It must be the same in every replica and must not change.',
  ),
  PROCESSOR_SECRET: secret('Secret shared with the card processor.'),
  PROCESSOR_URL: Type.String({ pattern: '^https?://', description: 'URL of the card processor.' }),
  DATABASE_URL: postgresUrl(),
  CALLERS: Type.String({
    default: 'gateway',
    pattern: '^[a-z0-9][a-z0-9-]{0,31}(,[a-z0-9][a-z0-9-]{0,31})*$',
    description: 'Names of the services that may pay, separated by commas. Keys are unique per caller.',
  }),
  ZOOKEEPER_HOSTS: Type.Optional(
    hostList('Servers of ZooKeeper, as host:port,host:port,…, where this replica lists itself.'),
  ),
  SERVICES_PATH: znodePath('/thermomesh/services', 'ZooKeeper node below which services list themselves.'),
  ZOOKEEPER_SESSION_TIMEOUT_MS: ms(
    4_000,
    'Session timeout of ZooKeeper. A replica that died stays listed for this time; the server grants 2 to 20 of its ticks.',
    { minimum: 200 },
  ),
  BODY_BYTES_MAX: count(16 * 1024, 'Maximum size of a request body in bytes.', { minimum: 1024 }),
  ANSWER_WAIT_MS: ms(
    5_000,
    'Maximum time that a call waits for the answer; after it the caller gets 409 with Retry-After.',
  ),
  ANSWER_POLL_MS: ms(25, 'Pause between two polls for the answers that calls wait for.'),
  RETRY_AFTER_SECONDS: count(1, 'Value of the header Retry-After.', { maximum: 3600 }),
  PROCESSOR_TIMEOUT_MS: ms(
    1_500,
    'Time limit for one call of the processor. Without an answer by then the outcome is unknown.',
  ),
  PROCESSOR_PAUSE_MS: ms(200, 'Pause between two sends of one attempt.', { minimum: 0 }),
  PROCESSOR_SENDS_MAX: count(2, 'Maximum number of sends of one attempt before the sweeper takes over.', {
    maximum: 100,
  }),
  PROCESSOR_CONNECTIONS_MAX: count(512, 'Maximum number of concurrent calls of the processor.', {
    maximum: 10_000,
  }),
  LEASE_MS: ms(3_000, 'Another attempt may take over after the holder has written nothing for this time.'),
  SWEEP_INTERVAL_MS: ms(250, 'Pause between two searches for payments in doubt.'),
  SWEEP_ROWS_MAX: count(32, 'Maximum number of payments in doubt that this replica works on at once.', {
    maximum: 1_000,
  }),
  DOUBT_PAUSE_MS: ms(500, 'Time for which the sweeper ignores a payment after an attempt has given up.'),
  KEY_RETENTION_DAYS: count(
    730,
    'How long answers are replayed, in days. After that the key gets 410 and can never be used again.',
    { maximum: 36_500 },
  ),
  DISPUTE_DAYS: count(540, 'How long a charge can be disputed, in days. No key is retired before.'),
  RETIRE_INTERVAL_MS: ms(3_600_000, 'Pause between two searches for answers to retire.'),
  SQL_CONNECTIONS_MAX: count(10, 'Maximum number of database connections.', { maximum: 200 }),
  SQL_CONNECT_TIMEOUT_MS: ms(2_000, 'Time limit for getting a database connection.'),
  SQL_STATEMENT_TIMEOUT_MS: ms(2_000, 'Time limit for a statement; PostgreSQL cancels it then.'),
  GATHER_OPERATIONS_MAX: count(64, 'Maximum number of operations that share one statement and commit.', {
    maximum: 1_000,
  }),
  GATHER_WAITING_MAX: count(
    10_000,
    'Maximum number of calls that wait for a shared statement of one kind; further calls get 503.',
    { maximum: 1_000_000 },
  ),
});

export type Config = Static<typeof Settings>;

/** Reads and checks all settings. @throws MeshError `config.invalid` that lists every issue */
export function readBillingConfig(env: NodeJS.ProcessEnv = process.env): Config {
  return readConfig(Settings, env, crossChecks);
}

/** The settings as options of the parts of a replica. */
export type BillingSettings = ReturnType<typeof settingsOf>;

/** Groups the settings by the part of the replica that uses them. */
export function settingsOf(config: Config) {
  return {
    replica: config.REPLICA,
    meshSecret: config.MESH_SECRET,
    billingSecret: config.BILLING_SECRET,
    callers: config.CALLERS.split(','),
    http: {
      host: config.HTTP_HOST,
      port: config.HTTP_PORT,
      bodyBytesMax: config.BODY_BYTES_MAX,
      retryAfterSeconds: config.RETRY_AFTER_SECONDS,
    },
    announcement: announcementOf(config),
    sql: {
      url: config.DATABASE_URL,
      applicationName: `thermomesh-${config.REPLICA}`,
      connectionsMax: config.SQL_CONNECTIONS_MAX,
      connectTimeoutMs: config.SQL_CONNECT_TIMEOUT_MS,
      statementTimeoutMs: config.SQL_STATEMENT_TIMEOUT_MS,
    },
    store: {
      holder: config.REPLICA,
      leaseMs: config.LEASE_MS,
      gatherMax: config.GATHER_OPERATIONS_MAX,
      waitingMax: config.GATHER_WAITING_MAX,
    },
    processor: {
      url: config.PROCESSOR_URL,
      secret: config.PROCESSOR_SECRET,
      timeoutMs: config.PROCESSOR_TIMEOUT_MS,
      connectionsMax: config.PROCESSOR_CONNECTIONS_MAX,
    },
    run: {
      sendsPerAttemptMax: config.PROCESSOR_SENDS_MAX,
      pauseMs: config.PROCESSOR_PAUSE_MS,
      doubtPauseMs: config.DOUBT_PAUSE_MS,
    },
    answers: { waitMs: config.ANSWER_WAIT_MS, pollMs: config.ANSWER_POLL_MS },
    sweeper: {
      sweepIntervalMs: config.SWEEP_INTERVAL_MS,
      sweepRowsMax: config.SWEEP_ROWS_MAX,
      retireIntervalMs: config.RETIRE_INTERVAL_MS,
      retentionDays: config.KEY_RETENTION_DAYS,
    },
    crash: { point: config.CRASH_POINT, witnessFile: config.CRASH_WITNESS_FILE },
  };
}

/** Where and as what this replica lists itself; undefined without ZooKeeper. */
function announcementOf(config: Config) {
  const address = announcedHost(config);
  if (config.ZOOKEEPER_HOSTS === undefined || address === undefined) return undefined;
  return {
    hosts: config.ZOOKEEPER_HOSTS,
    path: config.SERVICES_PATH,
    sessionTimeoutMs: config.ZOOKEEPER_SESSION_TIMEOUT_MS,
    address,
  };
}

function crossChecks(config: Config): string[] {
  const issues: string[] = [];
  // Each send renews the lease, so a holder that only waits for the processor keeps it.
  if (config.LEASE_MS <= config.PROCESSOR_TIMEOUT_MS + config.PROCESSOR_PAUSE_MS)
    issues.push('LEASE_MS must be above PROCESSOR_TIMEOUT_MS + PROCESSOR_PAUSE_MS');
  if (config.KEY_RETENTION_DAYS < config.DISPUTE_DAYS)
    issues.push(
      `KEY_RETENTION_DAYS (${config.KEY_RETENTION_DAYS}) must not be below DISPUTE_DAYS (${config.DISPUTE_DAYS})`,
    );
  if (config.ANSWER_POLL_MS >= config.ANSWER_WAIT_MS)
    issues.push('ANSWER_POLL_MS must be below ANSWER_WAIT_MS');
  if (config.GATHER_WAITING_MAX < config.GATHER_OPERATIONS_MAX)
    issues.push('GATHER_WAITING_MAX must not be below GATHER_OPERATIONS_MAX');
  if (config.ZOOKEEPER_HOSTS !== undefined) issues.push(...announcedHostIssues(config));
  // A graceful shutdown finishes the calls under way first.
  if (config.PROCESSOR_TIMEOUT_MS >= config.STOP_TIMEOUT_MS)
    issues.push('PROCESSOR_TIMEOUT_MS must be below STOP_TIMEOUT_MS');
  if (new Set([config.MESH_SECRET, config.BILLING_SECRET, config.PROCESSOR_SECRET]).size < 3)
    issues.push('MESH_SECRET, BILLING_SECRET and PROCESSOR_SECRET must differ');
  issues.push(...crashPlanIssues(config));
  return issues;
}
