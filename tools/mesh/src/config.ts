/** The settings of the command line tool; only this file reads its environment. */
import path from 'node:path';
import { misspeltSettings } from '@thermomesh/runtime';
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
  /** Ports of the gateway, unless the command names others; undefined: the standard ones. */
  mqttPort: number | undefined;
  httpPort: number | undefined;
  /** Maximum size of the fleet's ledger. */
  fleetLedgerBytesMax: number;
  /** Maximum size of the ledgers of all loads, and of each other kind of evidence. */
  evidenceBytesMax: number;
  /** Environment of the mesh's processes, without the variables that the mesh sets itself. */
  environment: Record<string, string>;
}

const mebibyte = 1024 * 1024;
const bytesDefaults = { fleetLedger: 32 * mebibyte, evidence: 1024 * mebibyte };
const portLimits = { min: 1, max: 65_535 };
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
 * @throws MeshError `config.invalid` that lists every issue, one a line
 */
export function readMeshConfig(env: NodeJS.ProcessEnv = process.env): MeshConfig {
  const root = path.resolve(import.meta.dirname, '../../..');
  const issues = misspeltSettings(env);
  const read = (name: string, pattern: { test(text: string): boolean }, expected: string) => {
    const text = textOf(env[name]);
    if (text === undefined || pattern.test(text)) return text;
    const value = name.endsWith('_URL') ? '' : `, not ${JSON.stringify(text)}`;
    issues.push(`${name} must ${expected}${value}`);
    return undefined;
  };
  const addresses = /^[^,/\s]+:\d+(,[^,/\s]+:\d+)*$/;
  const databaseUrl = read('DATABASE_URL', /^postgres(ql)?:\/\//, 'be a postgresql:// address');
  const redisUrl = read('REDIS_URL', /^rediss?:\/\//, 'be a redis:// address');
  const zookeeperHosts = read('ZOOKEEPER_HOSTS', addresses, 'have the form host:port,host:port');
  const kafkaBrokers = read('KAFKA_BROKERS', addresses, 'have the form host:port,host:port');
  const election = read('ELECTION', /^(bully|zookeeper)$/, 'be bully or zookeeper') ?? 'bully';
  const within = (name: string, { min, max }: { min: number; max: number }) => {
    const text = read(name, wholeNumber(min, max), `be a whole number from ${min} to ${max}`);
    return text === undefined ? undefined : Number(text);
  };
  const mqttPort = within('MQTT_PORT', portLimits);
  const httpPort = within('HTTP_PORT', portLimits);
  const fleetLedgerBytesMax = within('FLEET_LEDGER_BYTES_MAX', bytesLimits) ?? bytesDefaults.fleetLedger;
  const evidenceBytesMax = within('EVIDENCE_BYTES_MAX', bytesLimits) ?? bytesDefaults.evidence;
  if (issues.length > 0) throw meshError('config.invalid', issues.join('\n  '));
  const environment: Record<string, string> = {};
  for (const [name, value] of Object.entries(env)) {
    if (value !== undefined && !ownNames.includes(name)) environment[name] = value;
  }
  const home = path.resolve(root, textOf(env['MESH_HOME']) ?? '.mesh');
  return {
    root,
    home,
    databaseUrl,
    redisUrl,
    zookeeperHosts,
    kafkaBrokers,
    election: election as ElectionStrategy,
    mqttPort,
    httpPort,
    fleetLedgerBytesMax,
    evidenceBytesMax,
    environment,
  };
}

/** Matches the decimal digits of a number from `min` to `max`. */
function wholeNumber(min: number, max: number): { test(text: string): boolean } {
  return { test: (text) => /^\d+$/.test(text) && Number(text) >= min && Number(text) <= max };
}

function textOf(value: string | undefined): string | undefined {
  return value === undefined || value === '' ? undefined : value;
}
