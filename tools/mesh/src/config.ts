/** What the command line tool takes from its environment; the only reader of it here. */
import path from 'node:path';
import { MeshError } from '@thermomesh/runtime';
import type { Mesh } from './client/mesh.ts';
import type { ElectionStrategy } from './state/run-file.ts';

export interface MeshConfig {
  /** The repository's root. */
  root: string;
  /** Holds one folder for each mesh. */
  home: string;
  /** A PostgreSQL that somebody else runs; undefined: the mesh runs its own. */
  databaseUrl: string | undefined;
  /** A Redis that somebody else runs; undefined: the mesh runs its own. */
  redisUrl: string | undefined;
  /** A ZooKeeper that somebody else runs, `host:port,…`; undefined: the mesh runs its own. */
  zookeeperHosts: string | undefined;
  /** Kafka brokers that somebody else runs, `host:port,…`; undefined: the mesh runs its own. */
  kafkaBrokers: string | undefined;
  /** How the nodes elect if the command does not say it. */
  election: ElectionStrategy;
  /** Handed on to the mesh's processes, without what the mesh sets itself. */
  environment: Record<string, string>;
  /** The mesh that every command is about, if it is none of this machine's processes (`--target compose`). */
  opened?: Mesh;
}

/** Names that belong to one process: a value from outside must not reach all of them. */
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
 * Reads the settings.
 * @throws MeshError `config.invalid`
 */
export function readMeshConfig(env: NodeJS.ProcessEnv = process.env): MeshConfig {
  const root = path.resolve(import.meta.dirname, '../../..');
  const databaseUrl = textOf(env['DATABASE_URL']);
  if (databaseUrl !== undefined && !/^postgres(ql)?:\/\//.test(databaseUrl)) {
    throw new MeshError('config.invalid', 'DATABASE_URL must be a postgresql:// address');
  }
  const redisUrl = textOf(env['REDIS_URL']);
  if (redisUrl !== undefined && !/^rediss?:\/\//.test(redisUrl)) {
    throw new MeshError('config.invalid', 'REDIS_URL must be a redis:// address');
  }
  const zookeeperHosts = addressesOf('ZOOKEEPER_HOSTS', env['ZOOKEEPER_HOSTS']);
  const kafkaBrokers = addressesOf('KAFKA_BROKERS', env['KAFKA_BROKERS']);
  const election = textOf(env['ELECTION']) ?? 'bully';
  if (election !== 'bully' && election !== 'zookeeper') {
    throw new MeshError('config.invalid', 'ELECTION must be bully or zookeeper');
  }
  const environment: Record<string, string> = {};
  for (const [name, value] of Object.entries(env)) {
    if (value !== undefined && !ownNames.includes(name)) environment[name] = value;
  }
  const home = path.resolve(root, textOf(env['MESH_HOME']) ?? '.mesh');
  return { root, home, databaseUrl, redisUrl, zookeeperHosts, kafkaBrokers, election, environment };
}

function addressesOf(name: string, value: string | undefined): string | undefined {
  const text = textOf(value);
  if (text !== undefined && !/^[^,/\s]+:\d+(,[^,/\s]+:\d+)*$/.test(text)) {
    throw new MeshError('config.invalid', `${name} must read host:port,host:port`);
  }
  return text;
}

function textOf(value: string | undefined): string | undefined {
  return value === undefined || value === '' ? undefined : value;
}
