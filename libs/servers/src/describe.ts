/** Lines for people that say which servers the tests will use. */
import { createPool } from '@thermomesh/sql';
import { messageOf } from '@thermomesh/runtime';
import {
  configuredDatabaseUrl,
  configuredRedisUrl,
  configuredZooKeeperHosts,
  searchPath,
  toolsDirDefault,
} from './config.ts';
import { findJavaServers } from './java/jars.ts';
import { findJava } from './java/runtime.ts';
import { findBinaries } from './postgres/binaries.ts';
import { findRedis } from './redis/binaries.ts';

/** One line about a server, and whether it is available. */
export interface ServerDescription {
  ok: boolean;
  text: string;
}

/** Receives progress: the first download may take a while. */
type Notice = (line: string) => void;

/** One line about PostgreSQL, and whether it is available. */
export async function describePostgres(): Promise<ServerDescription> {
  const configured = configuredDatabaseUrl();
  return describe(async () => {
    if (configured === undefined) {
      const { version, folder } = await findBinaries();
      return `${version} from npm, ${folder}`;
    }
    const pool = createPool({ url: configured, applicationName: 'describe-servers', connectionsMax: 1 });
    try {
      const [row] = await pool.query<{ server_version: string }>('SHOW server_version');
      return `${row?.server_version ?? '?'} at ${new URL(configured).host}, named by DATABASE_URL`;
    } finally {
      await pool.close();
    }
  });
}

/** One line about Redis. Tests that kill a server start their own even if REDIS_URL is set. */
export async function describeRedis(onNotice: Notice): Promise<ServerDescription> {
  return describe(async () => {
    const { version, origin } = await findRedis({
      toolsDir: toolsDirDefault,
      searchPath: searchPath(),
      onNotice,
    });
    const configured = configuredRedisUrl();
    const shared = configured === undefined ? '' : `; the shared one is ${new URL(configured).host}`;
    return `${version}, ${origin}${shared}`;
  });
}

/** One line about the Java runtime. */
export async function describeJava(onNotice: Notice): Promise<ServerDescription> {
  return describe(async () => {
    const { version, origin } = await findJava({
      toolsDir: toolsDirDefault,
      searchPath: searchPath(),
      onNotice,
    });
    return `${version}, ${origin}`;
  });
}

/** One line about ZooKeeper and Kafka, which come as one set of jars. */
export async function describeZooKeeperAndKafka(onNotice: Notice): Promise<ServerDescription> {
  return describe(async () => {
    const { zookeeperVersion, kafkaVersion, folder } = await findJavaServers({ onNotice });
    const configured = configuredZooKeeperHosts();
    const shared = configured === undefined ? '' : `; the shared ZooKeeper is ${configured}`;
    return `ZooKeeper ${zookeeperVersion}, Kafka ${kafkaVersion}, ${folder}${shared}`;
  });
}

async function describe(look: () => Promise<string>): Promise<ServerDescription> {
  return look().then(
    (text) => ({ ok: true, text }),
    (error: unknown) => ({ ok: false, text: messageOf(error) }),
  );
}
