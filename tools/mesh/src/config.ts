/** The settings of the command line tool; only this file reads its environment. */
import path from 'node:path';
import { meshError } from './errors.ts';

/** How the analytics nodes elect their coordinator. */
export type ElectionStrategy = 'bully' | 'zookeeper';

export interface MeshConfig {
  /** Root folder of the repository. */
  root: string;
  /** Folder that contains one folder for each mesh. */
  home: string;
  /** An external PostgreSQL; undefined if the mesh runs its own. */
  databaseUrl: string | undefined;
  /** An external Redis; undefined if the mesh runs its own. */
  redisUrl: string | undefined;
  /** An external ZooKeeper, `host:port,…`; undefined if the mesh runs its own. */
  zookeeperHosts: string | undefined;
  /** External Kafka brokers, `host:port,…`; undefined if the mesh runs its own. */
  kafkaBrokers: string | undefined;
  /** Election strategy of the nodes unless the command names one. */
  election: ElectionStrategy;
  /** Maximum size of the fleet's ledger. */
  fleetLedgerBytesMax: number;
  /** Maximum size of the ledgers of all loads, and of each other kind of evidence. */
  evidenceBytesMax: number;
  /** Environment of the mesh's processes, without the variables that the mesh sets itself. */
  environment: Record<string, string>;
}

const mebibyte = 1024 * 1024;
const bytesDefaults = { fleetLedger: 32 * mebibyte, evidence: 1024 * mebibyte };
const bytesLimits = { min: mebibyte, max: 1024 * 1024 * mebibyte };

/** Variables that belong to one process: a value from outside must not reach all processes. */
const ownNames = [
  'API_KEYS_FILE',
  'BILLING_SECRET',
  'BILLING_SECRET_FILE',
  'BILLING_URLS',
  'CHECKOUT_SECRET',
  'CHECKOUT_SECRET_FILE',
  'CRASH_POINT',
  'CRASH_WITNESS_FILE',
  'DATABASE_URL',
  'DATA_DIR',
  'ELECTION',
  'EVIDENCE_BYTES_MAX',
  'FLEET_LEDGER_BYTES_MAX',
  'GATEWAY_URL',
  'HTTP_HOST',
  'HTTP_PORT',
  'KAFKA_BROKERS',
  'LINKS',
  'MESH_SECRET',
  'MESH_SECRET_FILE',
  'MQTT_HOST',
  'MQTT_PORT',
  'MQTT_URL',
  'NODE_CHANNEL_FD',
  'NODE_ID',
  'NODE_TEST_CONTEXT',
  'PEERS',
  'PROCESSOR_SECRET',
  'PROCESSOR_SECRET_FILE',
  'PROCESSOR_URL',
  'REDIS_URL',
  'REPLICA',
  'ZOOKEEPER_HOSTS',
  'ZOOKEEPER_PATH',
];

/**
 * Reads the settings from the environment.
 * @throws MeshError `config.invalid`
 */
export function readMeshConfig(env: NodeJS.ProcessEnv = process.env): MeshConfig {
  const root = path.resolve(import.meta.dirname, '../../..');
  const databaseUrl = textOf(env['DATABASE_URL']);
  if (databaseUrl !== undefined && !/^postgres(ql)?:\/\//.test(databaseUrl)) {
    throw meshError('config.invalid', 'DATABASE_URL must be a postgresql:// address');
  }
  const redisUrl = textOf(env['REDIS_URL']);
  if (redisUrl !== undefined && !/^rediss?:\/\//.test(redisUrl)) {
    throw meshError('config.invalid', 'REDIS_URL must be a redis:// address');
  }
  const zookeeperHosts = addressesOf('ZOOKEEPER_HOSTS', env['ZOOKEEPER_HOSTS']);
  const kafkaBrokers = addressesOf('KAFKA_BROKERS', env['KAFKA_BROKERS']);
  const election = textOf(env['ELECTION']) ?? 'bully';
  if (election !== 'bully' && election !== 'zookeeper') {
    throw meshError('config.invalid', 'ELECTION must be bully or zookeeper');
  }
  const environment: Record<string, string> = {};
  for (const [name, value] of Object.entries(env)) {
    if (value !== undefined && !ownNames.includes(name)) environment[name] = value;
  }
  const home = path.resolve(root, textOf(env['MESH_HOME']) ?? '.mesh');
  const fleetLedgerBytesMax = bytesOf('FLEET_LEDGER_BYTES_MAX', env, bytesDefaults.fleetLedger);
  const evidenceBytesMax = bytesOf('EVIDENCE_BYTES_MAX', env, bytesDefaults.evidence);
  return {
    root,
    home,
    databaseUrl,
    redisUrl,
    zookeeperHosts,
    kafkaBrokers,
    election,
    fleetLedgerBytesMax,
    evidenceBytesMax,
    environment,
  };
}

function bytesOf(name: string, env: NodeJS.ProcessEnv, fallback: number): number {
  const text = textOf(env[name]);
  if (text === undefined) return fallback;
  const bytes = Number(text);
  if (!/^\d+$/.test(text) || bytes < bytesLimits.min || bytes > bytesLimits.max)
    throw meshError(
      'config.invalid',
      `${name} must be a whole number of bytes from ${bytesLimits.min} to ${bytesLimits.max}`,
    );
  return bytes;
}

function addressesOf(name: string, value: string | undefined): string | undefined {
  const text = textOf(value);
  if (text !== undefined && !/^[^,/\s]+:\d+(,[^,/\s]+:\d+)*$/.test(text)) {
    throw meshError('config.invalid', `${name} must have the form host:port,host:port`);
  }
  return text;
}

function textOf(value: string | undefined): string | undefined {
  return value === undefined || value === '' ? undefined : value;
}
