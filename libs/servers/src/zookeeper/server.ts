/** One ZooKeeper server of our own, alone or as a member of an ensemble. */
import { mkdirSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { MeshError } from '@thermomesh/runtime';
import { findJavaServers, type JavaServers } from '../java/jars.ts';
import { javaEnvironment, javaWords } from '../java/words.ts';
import {
  clearTheWay,
  findRunning,
  launch,
  runningServer,
  shutDown,
  type LaunchFailure,
  type RunningServer,
  type ServerOptions,
} from '../launch.ts';
import { freeLastingPort } from '../ports.ts';
import type { ProcessIdentity } from '../processes.ts';
import { fourLetterWord, probeZooKeeper, type ZooKeeperState } from './probe.ts';

/** A member of an ensemble, as each other member's configuration names it. */
export interface ZooKeeperPeer {
  /** 1…255, unique. */
  id: number;
  /** Followers connect to the leader here. */
  quorumPort: number;
  electionPort: number;
}

export interface ZooKeeperOptions extends ServerOptions {
  /** Which of `peers` this is. */
  id?: number;
  /** All members, this one included; left out, the server stands alone. */
  peers?: readonly ZooKeeperPeer[];
  /** The unit of the server's time: sessions last 2 to 20 of it. */
  tickTimeMs?: number;
  heapMb?: number;
  /** Lines of `zoo.cfg` over {@link zooKeeperSettings}. */
  settings?: Record<string, string>;
  /**
   * `serving` (default): return when clients are served, which in an ensemble takes a majority. `running`: return when it answers at
   * all.
   */
  readyWhen?: 'serving' | 'running';
}

/** A server that runs. */
export interface ZooKeeperServer extends RunningServer {
  id: number;
  /** `127.0.0.1:port`, as clients take it. */
  host: string;
  tickTimeMs: number;
  /** Undefined while it serves nobody. */
  state(): Promise<ZooKeeperState | undefined>;
}

/** Sessions end on a tick: the shorter it is, the sooner a dead node's roles move. */
export const tickTimeDefaultMs = 250;
/** Longer than 20 ticks: brokers ask for 6 s, and a short stall must not cost them their session. */
const sessionDefaultMaxMs = 10_000;
const heapDefaultMb = 96;
const startTimeoutDefaultMs = 60_000;
const probeTimeoutMs = 2_000;
const startAttemptsMax = 3;
/** How long a member may take to join and read everything, and how long leader and follower may be silent. */
const joinMaxMs = 20_000;
const silenceMaxMs = 2_000;
const silenceTicksMin = 5;
const about = { code: 'zookeeper', name: 'ZooKeeper' };

/** What the mesh's own servers are started with, beside ports, folders and times. Each write is on disk before its answer. */
export const zooKeeperSettings: Readonly<Record<string, string>> = {
  clientPortAddress: '127.0.0.1',
  '4lw.commands.whitelist': 'srvr,ruok,mntr,stat,cons',
  'admin.enableServer': 'false',
  forceSync: 'yes',
  // All clients come from one address here.
  maxClientCnxns: '2000',
  // In KiB; 64 MiB of zeros for each server's log would be most of what it writes.
  preAllocSize: '1024',
  'autopurge.snapRetainCount': '3',
  'autopurge.purgeInterval': '1',
  // Znodes with a time to live.
  extendedTypesEnabled: 'true',
};

/**
 * Starts a server on `dataDir` and returns when it is ready ({@link ZooKeeperOptions.readyWhen}).
 * @throws MeshError `java.absent`, `java.jars_absent`, `zookeeper.already_running`, `zookeeper.start_failed`
 */
export async function startZooKeeper(options: ZooKeeperOptions): Promise<ZooKeeperServer> {
  const dataDir = path.resolve(options.dataDir);
  const { onNotice, toolsDir } = options;
  const java = await findJavaServers({
    ...(toolsDir === undefined ? {} : { toolsDir }),
    ...(onNotice === undefined ? {} : { onNotice }),
  });
  await clearTheWay(await findRunningZooKeeper(dataDir), {
    ...about,
    replaceRunning: options.replaceRunning ?? false,
    dataDir,
  });
  mkdirSync(dataDir, { recursive: true, mode: 0o700 });
  const wanted = options.port ?? 0;
  for (let attempt = 1; ; attempt += 1) {
    const port = wanted === 0 ? await freeLastingPort() : wanted;
    const outcome = await tryPort(java, { ...options, dataDir }, port);
    if (!('reason' in outcome)) return outcome;
    const portTaken = wanted === 0 && /Address already in use/.test(outcome.log);
    if (portTaken && attempt < startAttemptsMax) continue;
    throw new MeshError(
      'zookeeper.start_failed',
      `ZooKeeper did not start on port ${port}: ${outcome.reason}`,
    );
  }
}

/**
 * Stops the server that runs on `dataDir`, whoever started it.
 * @returns false if none runs there
 */
export async function stopZooKeeper(dataDir: string): Promise<boolean> {
  const running = await findRunningZooKeeper(dataDir);
  if (running === undefined) return false;
  await shutDown(running, ['SIGTERM', 'SIGKILL'], about);
  return true;
}

/** Which server runs on `dataDir`, if any. */
export async function findRunningZooKeeper(dataDir: string): Promise<ProcessIdentity | undefined> {
  const folder = path.resolve(dataDir);
  return findRunning(`${folder}.pid`, configFileOf(folder));
}

async function tryPort(
  java: JavaServers,
  options: ZooKeeperOptions,
  port: number,
): Promise<ZooKeeperServer | LaunchFailure> {
  const { dataDir } = options;
  const id = options.id ?? 1;
  const logFile = path.resolve(options.logFile ?? `${dataDir}.log`);
  const pidFile = `${dataDir}.pid`;
  writeFileSync(configFileOf(dataDir), configuration(options, port));
  writeFileSync(path.join(dataDir, 'myid'), `${id}\n`);
  const readyWhen = options.readyWhen ?? 'serving';
  const result = await launch({
    name: about.name,
    program: java.runtime.java,
    words: javaWords(java, {
      heapMb: options.heapMb ?? heapDefaultMb,
      scratchDir: `${dataDir}.tmp`,
      // How soon an empty container node is removed.
      properties: { 'znode.container.checkIntervalMs': '10000' },
      mainClass: 'org.apache.zookeeper.server.quorum.QuorumPeerMain',
      words: [configFileOf(dataDir)],
    }),
    env: javaEnvironment(java),
    cwd: dataDir,
    logFile,
    pidFile,
    endWithParent: options.endWithParent ?? false,
    scratchFolder: options.scratchFolder,
    isReady: async () =>
      readyWhen === 'serving'
        ? (await probeZooKeeper(port, probeTimeoutMs)) !== undefined
        : (await fourLetterWord(port, 'srvr', probeTimeoutMs)) !== undefined,
    timeoutMs: options.startTimeoutMs ?? startTimeoutDefaultMs,
  });
  if ('reason' in result) return result;
  return {
    ...(await runningServer(result.child, { ...about, pidFile, logFile })),
    id,
    host: `127.0.0.1:${port}`,
    port,
    dataDir,
    logFile,
    version: java.zookeeperVersion,
    tickTimeMs: options.tickTimeMs ?? tickTimeDefaultMs,
    state: async () => probeZooKeeper(port, probeTimeoutMs),
  };
}

function configuration(options: ZooKeeperOptions, port: number): string {
  const tickTimeMs = options.tickTimeMs ?? tickTimeDefaultMs;
  const ticks = (timeMs: number, min: number) => String(Math.max(min, Math.ceil(timeMs / tickTimeMs)));
  const members = (options.peers ?? []).map(
    ({ id, quorumPort, electionPort }) =>
      [`server.${id}`, `127.0.0.1:${quorumPort}:${electionPort}`] as const,
  );
  const all = {
    ...zooKeeperSettings,
    tickTime: String(tickTimeMs),
    initLimit: ticks(joinMaxMs, 10),
    syncLimit: ticks(silenceMaxMs, silenceTicksMin),
    ...(options.tickTimeMs === undefined ? { maxSessionTimeout: String(sessionDefaultMaxMs) } : {}),
    ...options.settings,
    dataDir: options.dataDir,
    clientPort: String(port),
    ...Object.fromEntries(members),
  };
  return Object.entries(all)
    .map(([name, value]) => `${name}=${value}\n`)
    .join('');
}

function configFileOf(dataDir: string): string {
  return `${dataDir}.cfg`;
}
