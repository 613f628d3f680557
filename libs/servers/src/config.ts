/** The settings of the test helpers and the places that are the same for everybody; the only reader of the environment here. */
import path from 'node:path';

/** A server that somebody else runs; undefined if tests start their own. */
export function configuredDatabaseUrl(env: NodeJS.ProcessEnv = process.env): string | undefined {
  return setting(env, 'DATABASE_URL');
}

/** As {@link configuredDatabaseUrl}, for Redis. */
export function configuredRedisUrl(env: NodeJS.ProcessEnv = process.env): string | undefined {
  return setting(env, 'REDIS_URL');
}

/** As {@link configuredDatabaseUrl}, for ZooKeeper: `host:port,…`. */
export function configuredZooKeeperHosts(env: NodeJS.ProcessEnv = process.env): string | undefined {
  return setting(env, 'ZOOKEEPER_HOSTS');
}

/** As {@link configuredDatabaseUrl}, for Kafka: `host:port,…`. */
export function configuredKafkaBrokers(env: NodeJS.ProcessEnv = process.env): string | undefined {
  return setting(env, 'KAFKA_BROKERS');
}

/** Where programs are looked for. */
export function searchPath(env: NodeJS.ProcessEnv = process.env): string {
  return env['PATH'] ?? '';
}

/** The environment of programs that fetch something: proxies and certificates are the machine's own business. */
export function wholeEnvironment(): NodeJS.ProcessEnv {
  return { ...process.env };
}

/** The top of this repository. */
export const repositoryFolder = path.resolve(import.meta.dirname, '../../..');

/** Where programs are unpacked if nobody says otherwise. */
export const toolsDirDefault = path.join(repositoryFolder, '.mesh', 'tools');

function setting(env: NodeJS.ProcessEnv, name: string): string | undefined {
  const value = env[name];
  return value === undefined || value === '' ? undefined : value;
}
