/**
 * ZooKeeper ensembles on this machine: one server, or an odd number of servers, which tolerate the
 * death of a minority.
 */
import { mkdirSync } from 'node:fs';
import path from 'node:path';
import { sleep } from '@thermomesh/runtime';
import { serverError } from '../errors.ts';
import type { ServerOptions } from '../launch.ts';
import { allOrNone, memberOf, type Member } from '../members.ts';
import { freeLastingPort } from '../ports.ts';
import {
  startZooKeeper,
  stopZooKeeper,
  type ZooKeeperOptions,
  type ZooKeeperPeer,
  type ZooKeeperServer,
} from './server.ts';

export type EnsembleSize = 1 | 3 | 5 | 7;

export interface EnsembleOptions extends Omit<ServerOptions, 'dataDir' | 'port' | 'logFile'> {
  servers: EnsembleSize;
  /** Contains the data of each server, in `zk-<id>`. */
  dataDir: string;
  /** Contains the log of each server, `zk-<id>.log`. Default: `dataDir`. */
  logDir?: string;
  /** The ports of server 1, then of server 2, …; default: free ports. */
  ports?: readonly ZooKeeperPorts[];
  tickTimeMs?: number;
  heapMb?: number;
  settings?: Record<string, string>;
}

/**
 * The ports of one server: client, quorum and election. They stay the same over restarts, because
 * the configurations of the other servers name them.
 */
export interface ZooKeeperPorts {
  port: number;
  quorumPort: number;
  electionPort: number;
}

/** A running ensemble. */
export interface Ensemble {
  /** The list that clients take: `127.0.0.1:1,127.0.0.1:2,…`. */
  hosts: string;
  /** Sorted by id. */
  members: readonly Member<ZooKeeperServer>[];
  /**
   * The leader, or the only server of a standalone ensemble; undefined while there is no leader.
   */
  leader(): Promise<Member<ZooKeeperServer> | undefined>;
  /** Waits until `count` servers serve clients. Default: all servers that were started. */
  untilServing(count?: number, timeoutMs?: number): Promise<void>;
  /** Stops every server. */
  stop(): Promise<void>;
}

const membersMax = 7;
const pollIntervalMs = 50;
const servingTimeoutDefaultMs = 60_000;

/**
 * Starts the servers concurrently and returns when all of them serve clients.
 * @throws MeshError the errors of `startZooKeeper`, and `zookeeper.no_quorum`
 */
export async function startEnsemble(options: EnsembleOptions): Promise<Ensemble> {
  const { servers: size } = options;
  const places = options.ports ?? (await Promise.all(Array.from({ length: size }, freePorts)));
  if (places.length !== size) {
    throw serverError('zookeeper.start_failed', `${size} servers need ports for ${size}`);
  }
  mkdirSync(options.dataDir, { recursive: true, mode: 0o700 });
  const peers = places.map((place, index) => ({ ...place, id: index + 1 }));
  const members = await allOrNone(
    peers.map(async (peer) => startMember(options, peer, peers)),
    async (member) => member.stop(),
  );
  const ensemble = ensembleOf(members);
  try {
    await ensemble.untilServing(size, options.startTimeoutMs);
  } catch (error) {
    await ensemble.stop();
    throw error;
  }
  return ensemble;
}

/**
 * Stops the servers that run below `dataDir`, no matter which process started them.
 * @returns how many there were
 */
export async function stopEnsemble(dataDir: string): Promise<number> {
  const ids = Array.from({ length: membersMax }, (_, index) => index + 1);
  const stopped = await Promise.all(ids.map(async (id) => stopZooKeeper(memberDir(dataDir, id))));
  return stopped.filter(Boolean).length;
}

function memberDir(dataDir: string, id: number): string {
  return path.join(dataDir, `zk-${id}`);
}

async function startMember(
  options: EnsembleOptions,
  peer: ZooKeeperPeer & ZooKeeperPorts,
  peers: readonly ZooKeeperPeer[],
): Promise<Member<ZooKeeperServer>> {
  const { servers: size, dataDir, logDir = dataDir, ports: _ports, ...rest } = options;
  const own: ZooKeeperOptions = {
    ...rest,
    dataDir: memberDir(dataDir, peer.id),
    logFile: path.join(logDir, `zk-${peer.id}.log`),
    id: peer.id,
    port: peer.port,
    ...(size === 1 ? {} : { peers }),
    // The first servers cannot serve clients before a majority runs.
    readyWhen: 'running',
  };
  return memberOf(peer.id, await startZooKeeper(own), async () => startZooKeeper(own));
}

function ensembleOf(members: Member<ZooKeeperServer>[]): Ensemble {
  return {
    hosts: members.map(({ host }) => host).join(','),
    members,
    async leader() {
      const [found] = await firstOf(1, members, async (member) => {
        const mode = (await member.server.state())?.mode;
        return mode === 'leader' || mode === 'standalone';
      });
      return found;
    },
    async untilServing(count = members.length, timeoutMs = servingTimeoutDefaultMs) {
      const deadline = Date.now() + timeoutMs;
      for (;;) {
        const serves = async (member: Member<ZooKeeperServer>) => (await member.server.state()) !== undefined;
        const serving = (await firstOf(count, members, serves)).length;
        if (serving >= count) return;
        if (Date.now() > deadline) {
          throw serverError(
            'zookeeper.no_quorum',
            `${serving} of ${members.length} ZooKeeper servers serve, ${count} should`,
          );
        }
        await sleep(pollIntervalMs);
      }
    },
    async stop() {
      await Promise.all(members.map(async (member) => member.stop()));
    },
  };
}

/**
 * The first `count` items for which `test` returns true; fewer if all tests have returned. It does
 * not wait for the answer of a frozen server once it has `count` items.
 */
async function firstOf<T>(
  count: number,
  items: readonly T[],
  test: (item: T) => Promise<boolean>,
): Promise<T[]> {
  const found: T[] = [];
  await new Promise<void>((resolve, reject) => {
    const asked = items.map(async (item) => {
      if ((await test(item)) && found.length < count) found.push(item);
      if (found.length >= count) resolve();
    });
    Promise.all(asked).then(() => resolve(), reject);
  });
  return found;
}

async function freePorts(): Promise<ZooKeeperPorts> {
  return {
    port: await freeLastingPort(),
    quorumPort: await freeLastingPort(),
    electionPort: await freeLastingPort(),
  };
}
