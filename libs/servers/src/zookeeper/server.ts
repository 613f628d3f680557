/** Starts and stops single ZooKeeper servers: standalone ones and members of an ensemble. */
import { writeFileSync } from 'node:fs';
import path from 'node:path';
import { defineServer } from '../define-server.ts';
import { findJavaServers, type JavaServers } from '../java/jars.ts';
import { javaArguments, javaEnvironment } from '../java/arguments.ts';
import type { RunningServer, ServerOptions } from '../launch.ts';
import type { ProcessIdentity } from '../processes.ts';
import { fourLetterWord, probeZooKeeper, type ZooKeeperState } from './probe.ts';

/** A member of an ensemble, as it is named in the configuration of every member. */
export interface ZooKeeperPeer {
  /** 1…255, unique. */
  id: number;
  /** The port at which followers connect to the leader. */
  quorumPort: number;
  electionPort: number;
}

export interface ZooKeeperOptions extends ServerOptions {
  /** The id of this server among `peers`. */
  id?: number;
  /** All members, this one included. Default: none, for a standalone server. */
  peers?: readonly ZooKeeperPeer[];
  /** The unit of time of the server: session timeouts are 2 to 20 ticks. */
  tickTimeMs?: number;
  heapMb?: number;
  /** Lines of `zoo.cfg` that override {@link zooKeeperSettings}. */
  settings?: Record<string, string>;
  /**
   * `serving` (default): the start returns when clients are served, which needs a majority in an
   * ensemble. `running`: the start returns when the server answers at all.
   */
  readyWhen?: 'serving' | 'running';
}

/** A running server. */
export interface ZooKeeperServer extends RunningServer {
  id: number;
  /** The address that clients take: `127.0.0.1:port`. */
  host: string;
  tickTimeMs: number;
  /** The state of the server; undefined while it does not serve clients. */
  state(): Promise<ZooKeeperState | undefined>;
}

/** Sessions expire on a tick: the shorter the tick, the sooner a dead node's roles move. */
export const tickTimeDefaultMs = 250;
/**
 * More than 20 ticks: brokers request 6 s, and they must not lose their session to a short stall.
 */
const sessionDefaultMaxMs = 10_000;
const heapDefaultMb = 96;
const startTimeoutDefaultMs = 60_000;
const probeTimeoutMs = 2_000;
/**
 * Time limits for a member to join and load the data, and for the silence between leader and
 * follower.
 */
const joinMaxMs = 20_000;
const silenceMaxMs = 2_000;
const silenceTicksMin = 5;

/**
 * Settings of the servers that the mesh starts, without ports, folders and times. Each write is on
 * disk before it is answered.
 */
export const zooKeeperSettings: Readonly<Record<string, string>> = {
  clientPortAddress: '127.0.0.1',
  '4lw.commands.whitelist': 'srvr,ruok,mntr,stat,cons',
  'admin.enableServer': 'false',
  forceSync: 'yes',
  // All clients have the same address on one machine.
  maxClientCnxns: '2000',
  // In KiB. The default, 64 MiB of zeros, would be most of what a server writes.
  preAllocSize: '1024',
  'autopurge.snapRetainCount': '3',
  'autopurge.purgeInterval': '1',
  // Enables znodes with a time to live.
  extendedTypesEnabled: 'true',
};

const zooKeeper = defineServer<ZooKeeperOptions, JavaServers, ZooKeeperServer>({
  kind: 'zookeeper',
  name: 'ZooKeeper',
  startTimeoutDefaultMs,
  configFile: configFileOf,
  find: findJavaServers,
  command(java, options, port) {
    const { dataDir, id = 1, readyWhen = 'serving', tickTimeMs = tickTimeDefaultMs } = options;
    writeFileSync(configFileOf(dataDir), configuration(options, port));
    writeFileSync(path.join(dataDir, 'myid'), `${id}\n`);
    const state = async () => probeZooKeeper(port, probeTimeoutMs);
    return {
      program: java.runtime.java,
      args: javaArguments(java, {
        heapMb: options.heapMb ?? heapDefaultMb,
        scratchDir: `${dataDir}.tmp`,
        // How soon an empty container node is removed.
        properties: { 'znode.container.checkIntervalMs': '10000' },
        mainClass: 'org.apache.zookeeper.server.quorum.QuorumPeerMain',
        args: [configFileOf(dataDir)],
      }),
      env: javaEnvironment(java),
      isReady: async () =>
        readyWhen === 'serving'
          ? (await state()) !== undefined
          : (await fourLetterWord(port, 'srvr', probeTimeoutMs)) !== undefined,
      version: java.zookeeperVersion,
      extra: { id, host: `127.0.0.1:${port}`, tickTimeMs, state },
    };
  },
});

/**
 * Starts a server on `dataDir` and returns when it is ready ({@link ZooKeeperOptions.readyWhen}).
 * @throws MeshError `java.absent`, `java.jars_absent`, `zookeeper.already_running`,
 *   `zookeeper.start_failed`
 */
export async function startZooKeeper(options: ZooKeeperOptions): Promise<ZooKeeperServer> {
  return zooKeeper.start(options);
}

/**
 * Stops the server that runs on `dataDir`, no matter which process started it.
 * @returns false if none runs there
 */
export async function stopZooKeeper(dataDir: string): Promise<boolean> {
  return zooKeeper.stop(dataDir);
}

/** The server process that runs on `dataDir`; undefined if there is none. */
export async function findRunningZooKeeper(dataDir: string): Promise<ProcessIdentity | undefined> {
  return zooKeeper.findRunning(dataDir);
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
