/** The settings of an analytics node. No other file of the node reads the environment. */
import {
  celsiusMax,
  celsiusMin,
  drainLimitBounds,
  type DrainLimits,
  timesOfYears,
} from '@thermomesh/contracts';
import { electionLimitIssues, type ElectionLimits } from '@thermomesh/election';
import {
  announcedHostSettings,
  count,
  crashPlanIssues,
  hostList,
  ms,
  port,
  postgresUrl,
  readConfig,
  serviceSettings,
  znodePath,
} from '@thermomesh/runtime';
import Type, { type Static } from 'typebox';
import { seqLeapMaxDefault } from './core/latest-state.ts';
import { plausibleRoom } from './core/plausibility.ts';
import { drainLimitIssues } from './limits/core/rules.ts';

/** A limit of measured values; the contract bounds them already. */
const limit = (value: number, description: string) =>
  Type.Number({ minimum: celsiusMin, maximum: celsiusMax, default: value, description });

/** A lower-case UUID that may be absent. */
const uuid = (description: string) =>
  Type.Optional(Type.String({ pattern: '^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$', description }));

const Settings = Type.Object({
  NODE_ID: Type.Integer({
    minimum: 1,
    maximum: 99,
    description: 'Id of this node. The fit node with the highest id becomes coordinator.',
  }),
  PEERS: Type.String({
    description: 'URLs of all nodes, including this one, as 1=http://host:port,2=http://host:port,….',
  }),
  ...serviceSettings,
  ANNOUNCED_HOST: Type.Optional({
    ...announcedHostSettings.ANNOUNCED_HOST,
    description:
      'Host name or address at which the gateway reaches this node. Default: the host of this node in PEERS.',
  }),
  DATABASE_URL: postgresUrl(),
  MQTT_URL: Type.String({
    pattern: '^mqtt://',
    description: 'MQTT address of the gateway, as mqtt://host:port.',
  }),
  HTTP_PORT: port(8081, 'TCP port of HTTP and of the peer links; 0 takes a free one.'),
  DRAIN_BATCH_ROWS_MAX: Type.Integer({
    ...drainLimitBounds.batchRowsMax,
    default: 2000,
    description: 'Maximum number of rows in a batch, unless another limit is published.',
  }),
  DRAIN_BATCH_BYTES_MAX: Type.Integer({
    ...drainLimitBounds.batchBytesMax,
    default: 1024 * 1024,
    description: 'Maximum number of payload bytes in a batch, unless another limit is published.',
  }),
  DRAIN_BATCH_LINGER_MS: Type.Integer({
    ...drainLimitBounds.batchLingerMs,
    default: 8,
    description: 'How long a batch waits for more messages, unless another limit is published.',
  }),
  DRAIN_QUEUE_BYTES_MAX: count(
    16 * 1024 * 1024,
    'Maximum number of received bytes that wait for a batch; above it the intake pauses.',
    { minimum: 1024 },
  ),
  DRAIN_GAP: Type.Union([Type.Literal('stop'), Type.Literal('accept')], {
    default: 'stop',
    description:
      'What the drain does when a restored database lacks readings that the gateway no longer has: stop (it waits for "mesh drain accept-gap") or accept (it records the loss and continues).',
  }),
  ADOPT_DATABASE: uuid(
    'UUID of the database of DATABASE_URL, if an operator has adopted it: a gateway store that was drained into another database may go on in this one. The refusal names it.',
  ),
  MEASURED_AT_YEAR_MIN: count(
    2000,
    'First year in which a reading may be measured; earlier ones are rejected as bad_measured_at.',
    { minimum: 1970, maximum: 9999 },
  ),
  MEASURED_AT_YEAR_MAX: count(2099, 'Last year in which a reading may be measured.', {
    minimum: 1970,
    maximum: 9999,
  }),
  DRAIN_BATCHES_KEPT_HOURS: count(
    168,
    'How long batch records are kept. The first and the last record of each epoch are never removed (I2).',
    { maximum: 876_000 },
  ),
  DRAIN_BATCHES_PRUNE_INTERVAL_MS: ms(10_000, 'Pause between two removals of old batch records.'),
  DRAIN_BATCHES_PRUNE_ROWS_MAX: count(
    2_000,
    'Maximum number of batch records that one statement removes; the drain waits for that statement.',
    { maximum: 100_000 },
  ),
  SEQ_LEAP_MAX: count(
    seqLeapMaxDefault,
    'A seq that is further above that of the reading stored last is no longer the latest state of its device.',
    { maximum: 1_000_000_000 },
  ),
  PLAUSIBLE_CELSIUS_MIN: limit(
    plausibleRoom.celsiusMin,
    'Lowest plausible temperature in °C; readings below it are stored, marked, and left out of averages.',
  ),
  PLAUSIBLE_CELSIUS_MAX: limit(plausibleRoom.celsiusMax, 'Highest plausible temperature in °C.'),
  PLAUSIBLE_HUMIDITY_PERCENT_MIN: limit(
    plausibleRoom.humidityPercentMin,
    'Lowest plausible relative humidity in percent.',
  ),
  PLAUSIBLE_HUMIDITY_PERCENT_MAX: limit(
    plausibleRoom.humidityPercentMax,
    'Highest plausible relative humidity in percent.',
  ),
  REJECTED_RAW_BYTES_MAX: count(
    256 * 1024,
    'Maximum number of bytes that are kept of a rejected message. Longer ones are cut; size and SHA-256 of the whole are kept.',
    { maximum: 1024 * 1024 },
  ),
  REJECTED_ROWS_PER_KIND_MAX: count(
    1_000,
    'Maximum number of rejected messages that are kept for each device and reason; the oldest are removed. The counts are never removed.',
    { maximum: 100_000 },
  ),
  REJECTED_BYTES_PER_KIND_MAX: count(
    4 * 1024 * 1024,
    'Maximum number of bytes of rejected messages that are kept for each device and reason.',
    { maximum: 1024 * 1024 * 1024 },
  ),
  MQTT_TIMEOUT_MS: ms(2_000, 'Time limit for connecting to the gateway and for each of its replies.'),
  MQTT_KEEPALIVE_SECONDS: count(5, 'Keepalive of the drain session, in seconds.', { maximum: 3600 }),
  SQL_CONNECT_TIMEOUT_MS: ms(2_000, 'Time limit for opening a database session.'),
  SQL_STATEMENT_TIMEOUT_MS: ms(5_000, 'Time limit for one batch; PostgreSQL cancels it then.'),
  SQL_LOCK_TIMEOUT_MS: ms(
    2_000,
    'Maximum time that a take-over waits for the session of the deposed coordinator to end.',
  ),
  SQL_IDLE_IN_TRANSACTION_TIMEOUT_MS: ms(
    500,
    'PostgreSQL ends a session that keeps it waiting inside a transaction for this time.',
  ),
  LEASE_MS: ms(
    1_000,
    'Duration of the coordinator lease. Once it has expired, another node may take over even if the session of the holder still stands.',
  ),
  LEASE_RENEW_MS: ms(250, 'An idle coordinator renews its lease at this interval.'),
  PEER_PING_INTERVAL_MS: ms(100, 'Pause between two pings on a peer link.'),
  PEER_TIMEOUT_MS: ms(700, 'A peer that is silent for this time counts as dead.'),
  ELECTION: Type.Union([Type.Literal('bully'), Type.Literal('zookeeper')], {
    default: 'bully',
    description:
      'Election strategy: bully (over links between the nodes) or zookeeper (by a queue in ZooKeeper).',
  }),
  ZOOKEEPER_HOSTS: Type.Optional(
    hostList(
      'Servers of ZooKeeper, as host:port,host:port,…. The node follows the published drain limits there and lists itself. Required by ELECTION=zookeeper.',
    ),
  ),
  ZOOKEEPER_PATH: znodePath(
    '/thermomesh/analytics',
    'ZooKeeper node below which the group keeps everything.',
  ),
  SERVICES_PATH: znodePath(
    '/thermomesh/services',
    'ZooKeeper node below which services list themselves; the gateway finds this node there.',
  ),
  ZOOKEEPER_SESSION_TIMEOUT_MS: ms(
    2_000,
    'Session timeout of ZooKeeper. It frees the place of a dead coordinator after this time; the server grants 2 to 20 of its ticks.',
    { minimum: 200 },
  ),
  RENDEZVOUS_TIMEOUT_MS: ms(
    3_000,
    'Maximum time that a starting node waits for all other nodes, if it has ZooKeeper. 0: it does not wait.',
    { minimum: 0 },
  ),
  SETTLE_MS: ms(500, 'Time for links and gossip after a start, before the first claim.'),
  ELECTION_TIMEOUT_MS: ms(300, 'Time limit for a higher node to answer ELECTION.'),
  COORDINATOR_TIMEOUT_MS: ms(1_500, 'Time limit for the winner of an election to announce itself.'),
  CLAIM_RETRY_MS: ms(100, 'Pause between two claims while the database reports that the holder lives.'),
  PREEMPT_HOLD_MS: ms(
    5_000,
    'A returning node with a higher id must be fit for this time before it asks for the title.',
  ),
  HANDOVER_TIMEOUT_MS: ms(5_000, 'Time limit for the coordinator to release the title after that request.'),
  RELEASE_TIMEOUT_MS: ms(3_000, 'Maximum duration of a graceful release of the title.'),
  YIELD_HOLD_MS: ms(
    1_000,
    'An unfit coordinator yields after this time, if it sees a fit peer or, with Bully, no peer at all.',
  ),
  STATUS_INTERVAL_MS: ms(1_000, 'Pause between two rounds of gossip.'),
  FITNESS_INTERVAL_MS: ms(250, 'Pause between two probes of PostgreSQL and the gateway.'),
  FITNESS_TIMEOUT_MS: ms(700, 'A probe that takes longer has failed.'),
  RETRY_MIN_MS: ms(50, 'Lower bound of the backoff after a failure of PostgreSQL or the gateway.'),
  RETRY_MAX_MS: ms(2_000, 'Upper bound of that backoff.'),
});

const MigrationSettings = Type.Object({
  DATABASE_URL: postgresUrl(),
  MESH_ID: uuid('UUID of the mesh that works with the database from now on. Without it, none is recorded.'),
  MESH_NAME: Type.String({ default: 'main', description: 'Its name, for people.' }),
  MESH_FORMER: uuid('UUID of the mesh from which the database is adopted.'),
});

/** The settings of the migration program. @throws MeshError `config.invalid` */
export function readMigrationConfig(env: NodeJS.ProcessEnv = process.env): Static<typeof MigrationSettings> {
  return readConfig(MigrationSettings, env);
}

type RawConfig = Static<typeof Settings>;

/** All settings, with what follows from PEERS and MQTT_URL. */
export interface Config extends RawConfig {
  /** Every other node. */
  peers: { nodeId: number; url: string }[];
  /** Where the other nodes find this one. */
  ownUrl: string;
  /** MQTT address of the gateway. */
  mqtt: { host: string; port: number };
}

/** Reads and checks all settings. @throws MeshError `config.invalid` that lists every issue */
export function readNodeConfig(env: NodeJS.ProcessEnv = process.env): Config {
  const raw = readConfig(Settings, env, crossChecks);
  const url = new URL(raw.MQTT_URL);
  const nodes = parsePeers(raw.PEERS);
  const peers = nodes.filter(({ nodeId }) => nodeId !== raw.NODE_ID);
  const ownUrl = nodes.find(({ nodeId }) => nodeId === raw.NODE_ID)?.url ?? '';
  return { ...raw, peers, ownUrl, mqtt: { host: url.hostname, port: Number(url.port || 1883) } };
}

/** The settings as options of the parts of a node. */
export type NodeSettings = ReturnType<typeof settingsOf>;

/** Groups the settings by the part of the node that uses them. */
export function settingsOf(config: Config) {
  return {
    nodeId: config.NODE_ID,
    url: config.ownUrl,
    peers: config.peers,
    secret: config.MESH_SECRET,
    apiKeysFile: config.API_KEYS_FILE,
    http: { host: config.HTTP_HOST, port: config.HTTP_PORT },
    gateway: {
      address: config.mqtt,
      timeoutMs: config.MQTT_TIMEOUT_MS,
      keepaliveSeconds: config.MQTT_KEEPALIVE_SECONDS,
    },
    times: timesOfYears(config.MEASURED_AT_YEAR_MIN, config.MEASURED_AT_YEAR_MAX),
    sql: {
      url: config.DATABASE_URL,
      connectTimeoutMs: config.SQL_CONNECT_TIMEOUT_MS,
      statementTimeoutMs: config.SQL_STATEMENT_TIMEOUT_MS,
      lockTimeoutMs: config.SQL_LOCK_TIMEOUT_MS,
      idleInTransactionTimeoutMs: config.SQL_IDLE_IN_TRANSACTION_TIMEOUT_MS,
    },
    rejections: {
      rawBytesMax: config.REJECTED_RAW_BYTES_MAX,
      rowsPerKindMax: config.REJECTED_ROWS_PER_KIND_MAX,
      bytesPerKindMax: config.REJECTED_BYTES_PER_KIND_MAX,
    },
    plausible: {
      celsiusMin: config.PLAUSIBLE_CELSIUS_MIN,
      celsiusMax: config.PLAUSIBLE_CELSIUS_MAX,
      humidityPercentMin: config.PLAUSIBLE_HUMIDITY_PERCENT_MIN,
      humidityPercentMax: config.PLAUSIBLE_HUMIDITY_PERCENT_MAX,
    },
    drain: {
      limits: staticDrainLimits(config),
      seqLeapMax: config.SEQ_LEAP_MAX,
      queueBytesMax: config.DRAIN_QUEUE_BYTES_MAX,
      gapPolicy: config.DRAIN_GAP,
      adoptDatabase: config.ADOPT_DATABASE,
      leaseMs: config.LEASE_MS,
      leaseRenewMs: config.LEASE_RENEW_MS,
      retention: {
        keptHours: config.DRAIN_BATCHES_KEPT_HOURS,
        rowsMax: config.DRAIN_BATCHES_PRUNE_ROWS_MAX,
        intervalMs: config.DRAIN_BATCHES_PRUNE_INTERVAL_MS,
      },
      retry: { minMs: config.RETRY_MIN_MS, maxMs: config.RETRY_MAX_MS },
    },
    fitness: { intervalMs: config.FITNESS_INTERVAL_MS, timeoutMs: config.FITNESS_TIMEOUT_MS },
    election: {
      strategy: config.ELECTION,
      limits: electionLimitsOf(config),
      links: { pingIntervalMs: config.PEER_PING_INTERVAL_MS, peerTimeoutMs: config.PEER_TIMEOUT_MS },
    },
    zookeeper: zookeeperOf(config),
    announcement: announcementOf(config),
    crash: { point: config.CRASH_POINT, witnessFile: config.CRASH_WITNESS_FILE },
  };
}

/** The settings of ZooKeeper; undefined if the node has none. */
function zookeeperOf(config: RawConfig) {
  if (config.ZOOKEEPER_HOSTS === undefined) return undefined;
  return {
    hosts: config.ZOOKEEPER_HOSTS,
    path: config.ZOOKEEPER_PATH,
    sessionTimeoutMs: config.ZOOKEEPER_SESSION_TIMEOUT_MS,
    rendezvousTimeoutMs: config.RENDEZVOUS_TIMEOUT_MS,
  };
}

/** Where and as what this node lists itself for the gateway; undefined without ZooKeeper. */
function announcementOf(config: Config) {
  if (config.ZOOKEEPER_HOSTS === undefined) return undefined;
  return {
    hosts: config.ZOOKEEPER_HOSTS,
    path: config.SERVICES_PATH,
    sessionTimeoutMs: config.ZOOKEEPER_SESSION_TIMEOUT_MS,
    address: config.ANNOUNCED_HOST ?? new URL(config.ownUrl).hostname.replace(/^\[|\]$/g, ''),
  };
}

function electionLimitsOf(config: RawConfig): ElectionLimits {
  return {
    settleMs: config.SETTLE_MS,
    electionTimeoutMs: config.ELECTION_TIMEOUT_MS,
    coordinatorTimeoutMs: config.COORDINATOR_TIMEOUT_MS,
    claimRetryMs: config.CLAIM_RETRY_MS,
    preemptHoldMs: config.PREEMPT_HOLD_MS,
    handoverTimeoutMs: config.HANDOVER_TIMEOUT_MS,
    releaseTimeoutMs: config.RELEASE_TIMEOUT_MS,
    yieldHoldMs: config.YIELD_HOLD_MS,
    statusIntervalMs: config.STATUS_INTERVAL_MS,
  };
}

/** The limits of a batch that apply where no other limits are published. */
function staticDrainLimits(config: RawConfig): DrainLimits {
  return {
    batchRowsMax: config.DRAIN_BATCH_ROWS_MAX,
    batchBytesMax: config.DRAIN_BATCH_BYTES_MAX,
    batchLingerMs: config.DRAIN_BATCH_LINGER_MS,
  };
}

function crossChecks(config: RawConfig): string[] {
  const issues: string[] = [];
  const below = (low: keyof RawConfig, high: keyof RawConfig) => {
    if (Number(config[low]) >= Number(config[high]))
      issues.push(`${low} (${config[low]}) must be below ${high} (${config[high]})`);
  };
  below('PEER_PING_INTERVAL_MS', 'PEER_TIMEOUT_MS');
  below('LEASE_RENEW_MS', 'LEASE_MS');
  // The session of a paused writer must have lost its locks before the others notice the pause
  // (I2).
  below('SQL_IDLE_IN_TRANSACTION_TIMEOUT_MS', 'PEER_TIMEOUT_MS');
  below('SQL_IDLE_IN_TRANSACTION_TIMEOUT_MS', 'ZOOKEEPER_SESSION_TIMEOUT_MS');
  below('RETRY_MIN_MS', 'RETRY_MAX_MS');
  below('PLAUSIBLE_CELSIUS_MIN', 'PLAUSIBLE_CELSIUS_MAX');
  below('PLAUSIBLE_HUMIDITY_PERCENT_MIN', 'PLAUSIBLE_HUMIDITY_PERCENT_MAX');
  if (config.REJECTED_RAW_BYTES_MAX > config.REJECTED_BYTES_PER_KIND_MAX)
    issues.push('REJECTED_RAW_BYTES_MAX must not be above REJECTED_BYTES_PER_KIND_MAX');
  if (config.MEASURED_AT_YEAR_MIN > config.MEASURED_AT_YEAR_MAX)
    issues.push('MEASURED_AT_YEAR_MIN must not be above MEASURED_AT_YEAR_MAX');
  below('RELEASE_TIMEOUT_MS', 'STOP_TIMEOUT_MS');
  const frame = { queueBytesMax: config.DRAIN_QUEUE_BYTES_MAX };
  issues.push(...drainLimitIssues(staticDrainLimits(config), frame).map((issue) => `drain: ${issue}`));
  issues.push(...electionLimitIssues(electionLimitsOf(config)).map((issue) => `election: ${issue}`));
  // When PostgreSQL fails for all nodes, one node notices it first. It must not yield to the nodes
  // that will notice it next.
  if (config.YIELD_HOLD_MS <= config.FITNESS_INTERVAL_MS + config.FITNESS_TIMEOUT_MS) {
    issues.push('YIELD_HOLD_MS must be above FITNESS_INTERVAL_MS + FITNESS_TIMEOUT_MS');
  }
  if (config.ELECTION === 'zookeeper' && config.ZOOKEEPER_HOSTS === undefined) {
    issues.push('ELECTION=zookeeper needs ZOOKEEPER_HOSTS');
  }
  if (!isPeerList(config.PEERS)) issues.push('PEERS must read 1=http://host:port,2=http://host:port,…');
  else if (!parsePeers(config.PEERS).some(({ nodeId }) => nodeId === config.NODE_ID)) {
    issues.push(`PEERS must name this node too (NODE_ID ${config.NODE_ID})`);
  }
  issues.push(...crashPlanIssues(config));
  return issues;
}

function isPeerList(text: string): boolean {
  return text.split(',').every((item) => /^\d{1,2}=https?:\/\/[^,]+$/.test(item.trim()));
}

function parsePeers(text: string): { nodeId: number; url: string }[] {
  return text.split(',').map((item) => {
    const [id = '', ...rest] = item.trim().split('=');
    return { nodeId: Number(id), url: rest.join('=') };
  });
}
