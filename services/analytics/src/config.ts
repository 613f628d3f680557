/** The settings of an analytics node; the only reader of the environment here. */
import { drainLimitBounds, type DrainLimits } from '@thermomesh/contracts';
import { electionLimitFaults, type ElectionLimits } from '@thermomesh/election';
import { crashPoints, parseCrashPlan, readConfig, secretCharsMin } from '@thermomesh/runtime';
import Type, { type Static } from 'typebox';
import { drainLimitFaults } from './core/drain-limits.ts';

const Ms = (initial: number, description: string, minimum = 1) =>
  Type.Integer({ default: initial, minimum, description });

const Settings = Type.Object({
  NODE_ID: Type.Integer({
    minimum: 1,
    maximum: 99,
    description: 'this node; the highest fit id coordinates',
  }),
  PEERS: Type.String({ description: 'all nodes, itself included: 1=http://host:port,2=…' }),
  MESH_SECRET: Type.String({
    minLength: secretCharsMin,
    description: 'the secret that tokens are derived from',
  }),
  DATABASE_URL: Type.String({ pattern: '^postgres(ql)?://', description: 'PostgreSQL' }),
  MQTT_URL: Type.String({ pattern: '^mqtt://', description: 'the gateway: mqtt://host:port' }),
  HTTP_HOST: Type.String({ default: '127.0.0.1' }),
  HTTP_PORT: Type.Integer({ default: 8081, minimum: 0, maximum: 65535, description: '0 takes a free one' }),
  API_KEYS_FILE: Type.Optional(Type.String({ description: 'hashes of API keys (mesh api-key)' })),
  LOG_LEVEL: Type.String({ default: 'info' }),
  DRAIN_BATCH_ROWS_MAX: Type.Integer({ default: 2000, ...drainLimitBounds.batchRowsMax }),
  DRAIN_BATCH_BYTES_MAX: Type.Integer({ default: 1024 * 1024, ...drainLimitBounds.batchBytesMax }),
  DRAIN_BATCH_LINGER_MS: Type.Integer({ default: 8, ...drainLimitBounds.batchLingerMs }),
  DRAIN_QUEUE_BYTES_MAX: Type.Integer({
    default: 16 * 1024 * 1024,
    minimum: 1024,
    description: 'received and not yet in a batch',
  }),
  DRAIN_BATCHES_KEPT_HOURS: Type.Integer({
    default: 168,
    minimum: 1,
    maximum: 876_000,
    description: 'records of batches; the first and last of each epoch are kept for ever (I2)',
  }),
  DRAIN_BATCHES_PRUNE_INTERVAL_MS: Ms(10_000, 'between two removals of older ones'),
  DRAIN_BATCHES_PRUNE_ROWS_MAX: Type.Integer({
    default: 2_000,
    minimum: 1,
    maximum: 100_000,
    description: 'removed at once: the drain waits that long',
  }),
  MQTT_TIMEOUT_MS: Ms(2_000, 'to connect to the gateway, and for its answer'),
  MQTT_KEEPALIVE_SECONDS: Type.Integer({
    default: 5,
    minimum: 1,
    maximum: 3600,
    description: 'of the drain session',
  }),
  SQL_CONNECT_TIMEOUT_MS: Ms(2_000, 'to open a session'),
  SQL_STATEMENT_TIMEOUT_MS: Ms(5_000, 'one batch; the server ends it then'),
  SQL_LOCK_TIMEOUT_MS: Ms(2_000, 'a take-over waits at most so long for the deposed session to end'),
  SQL_IDLE_IN_TRANSACTION_TIMEOUT_MS: Ms(
    500,
    'the server ends a session that keeps it waiting inside a transaction',
  ),
  LEASE_MS: Ms(1_000, 'a coordinator whose lease is older may be taken over though its session stands'),
  LEASE_RENEW_MS: Ms(250, 'an idle coordinator renews its lease so often'),
  PEER_PING_INTERVAL_MS: Ms(100, 'between two pings on a link'),
  PEER_TIMEOUT_MS: Ms(700, 'a silent peer is dead'),
  ELECTION: Type.Union([Type.Literal('bully'), Type.Literal('zookeeper')], {
    default: 'bully',
    description: 'how the nodes elect: bully (links between them) or zookeeper (a queue there)',
  }),
  ZOOKEEPER_HOSTS: Type.Optional(
    Type.String({
      pattern: '^[^,/\\s]+:\\d+(,[^,/\\s]+:\\d+)*$',
      description:
        'host:port,…: published drain limits; with ELECTION=bully it only lists the members besides',
    }),
  ),
  ZOOKEEPER_PATH: Type.String({
    default: '/thermomesh/analytics',
    pattern: '^(/[A-Za-z0-9_.-]+)+$',
    description: 'below this node the group keeps everything',
  }),
  ZOOKEEPER_SESSION_TIMEOUT_MS: Ms(
    2_000,
    "a dead coordinator's place is free then; the server grants 2 to 20 of its ticks",
    200,
  ),
  RENDEZVOUS_TIMEOUT_MS: Ms(
    3_000,
    'with ZooKeeper: a node that starts waits at most so long until all nodes are there; 0: not at all',
    0,
  ),
  SETTLE_MS: Ms(500, 'after a start: links and gossip come before the first claim'),
  ELECTION_TIMEOUT_MS: Ms(300, 'how long a higher node may take to answer ELECTION'),
  COORDINATOR_TIMEOUT_MS: Ms(1_500, 'how long the winner may take to announce itself'),
  CLAIM_RETRY_MS: Ms(100, 'between two claims while the database says that the holder lives'),
  PREEMPT_HOLD_MS: Ms(5_000, 'a returning higher node waits so long before it asks for the hand-over'),
  HANDOVER_TIMEOUT_MS: Ms(5_000, 'how long it waits for the release'),
  RELEASE_TIMEOUT_MS: Ms(3_000, 'an orderly release takes at most so long'),
  YIELD_HOLD_MS: Ms(1_000, 'how long an unfit coordinator sees a fit node before it yields'),
  STATUS_INTERVAL_MS: Ms(1_000, 'between two rounds of gossip'),
  FITNESS_INTERVAL_MS: Ms(250, 'between two looks at PostgreSQL and the gateway'),
  FITNESS_TIMEOUT_MS: Ms(700, 'a look that takes longer has failed'),
  RETRY_MIN_MS: Ms(50, 'first pause after a failure of PostgreSQL or the gateway'),
  RETRY_MAX_MS: Ms(2_000, 'longest pause'),
  STOP_TIMEOUT_MS: Ms(10_000, 'an orderly stop takes at most so long'),
  CRASH_POINT: Type.Optional(
    Type.String({ description: `tests only: name[:nth][:kill|stop], of ${crashPoints.join(', ')}` }),
  ),
  CRASH_WITNESS_FILE: Type.Optional(
    Type.String({ description: 'tests only: told when the crash point is hit' }),
  ),
});

type Raw = Static<typeof Settings>;

export interface Config extends Raw {
  /** Every other node. */
  peers: { nodeId: number; url: string }[];
  /** Where the others find this node. */
  ownUrl: string;
  mqtt: { host: string; port: number };
}

/** Reads and checks everything. @throws MeshError `config.invalid` with all faults */
export function readNodeConfig(env: NodeJS.ProcessEnv = process.env): Config {
  const raw = readConfig(Settings, env, relations);
  const url = new URL(raw.MQTT_URL);
  const nodes = parsePeers(raw.PEERS);
  const peers = nodes.filter(({ nodeId }) => nodeId !== raw.NODE_ID);
  const ownUrl = nodes.find(({ nodeId }) => nodeId === raw.NODE_ID)?.url ?? '';
  return { ...raw, peers, ownUrl, mqtt: { host: url.hostname, port: Number(url.port || 1883) } };
}

/** The one setting of the migration. */
export function readMigrateConfig(env: NodeJS.ProcessEnv = process.env): { DATABASE_URL: string } {
  return readConfig(Type.Pick(Settings, ['DATABASE_URL']), env);
}

/** The election's limits among the settings. */
export function electionLimitsOf(config: Raw): ElectionLimits {
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

/** The limits of a batch among the settings: they hold where nothing else is published. */
export function staticDrainLimits(config: Raw): DrainLimits {
  return {
    batchRowsMax: config.DRAIN_BATCH_ROWS_MAX,
    batchBytesMax: config.DRAIN_BATCH_BYTES_MAX,
    batchLingerMs: config.DRAIN_BATCH_LINGER_MS,
  };
}

function relations(config: Raw): string[] {
  const faults: string[] = [];
  const below = (low: keyof Raw, high: keyof Raw) => {
    if (Number(config[low]) >= Number(config[high]))
      faults.push(`${low} (${config[low]}) must be below ${high} (${config[high]})`);
  };
  below('PEER_PING_INTERVAL_MS', 'PEER_TIMEOUT_MS');
  below('LEASE_RENEW_MS', 'LEASE_MS');
  // A paused writer must have lost its session's locks by the time its death is noticed (I2).
  below('SQL_IDLE_IN_TRANSACTION_TIMEOUT_MS', 'PEER_TIMEOUT_MS');
  below('SQL_IDLE_IN_TRANSACTION_TIMEOUT_MS', 'ZOOKEEPER_SESSION_TIMEOUT_MS');
  below('RETRY_MIN_MS', 'RETRY_MAX_MS');
  below('RELEASE_TIMEOUT_MS', 'STOP_TIMEOUT_MS');
  const frame = { queueBytesMax: config.DRAIN_QUEUE_BYTES_MAX };
  faults.push(...drainLimitFaults(staticDrainLimits(config), frame).map((fault) => `drain: ${fault}`));
  faults.push(...electionLimitFaults(electionLimitsOf(config)).map((fault) => `election: ${fault}`));
  // When PostgreSQL fails for everyone, one node is the first to notice: it must not yield to those that will notice next.
  if (config.YIELD_HOLD_MS <= config.FITNESS_INTERVAL_MS + config.FITNESS_TIMEOUT_MS) {
    faults.push('YIELD_HOLD_MS must be above FITNESS_INTERVAL_MS + FITNESS_TIMEOUT_MS');
  }
  if (config.ELECTION === 'zookeeper' && config.ZOOKEEPER_HOSTS === undefined) {
    faults.push('ELECTION=zookeeper needs ZOOKEEPER_HOSTS');
  }
  if (!isPeerList(config.PEERS)) faults.push('PEERS must read 1=http://host:port,2=http://host:port,…');
  else if (!parsePeers(config.PEERS).some(({ nodeId }) => nodeId === config.NODE_ID)) {
    faults.push(`PEERS must name this node too (NODE_ID ${config.NODE_ID})`);
  }
  try {
    parseCrashPlan(config.CRASH_POINT);
  } catch (error) {
    faults.push(`CRASH_POINT: ${(error as Error).message}`);
  }
  return faults;
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
