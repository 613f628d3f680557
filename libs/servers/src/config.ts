/**
 * The settings of the test helpers, and the folders that all callers share; the only reader of the
 * environment here.
 */
import path from 'node:path';

/** The URL of a PostgreSQL server that tests use; undefined if they start their own. */
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

/** Folders in which programs are searched, as in `PATH`. */
export function searchPath(env: NodeJS.ProcessEnv = process.env): string {
  return env['PATH'] ?? '';
}

/**
 * The environment of programs that download something; it names the proxies and certificates of the
 * machine.
 */
export function wholeEnvironment(): NodeJS.ProcessEnv {
  return { ...process.env };
}

/** The root folder of this repository. */
export const repositoryFolder = path.resolve(import.meta.dirname, '../../..');

/** Default folder of unpacked programs. */
export const toolsDirDefault = path.join(repositoryFolder, '.mesh', 'tools');

function setting(env: NodeJS.ProcessEnv, name: string): string | undefined {
  const value = env[name];
  return value === undefined || value === '' ? undefined : value;
}
