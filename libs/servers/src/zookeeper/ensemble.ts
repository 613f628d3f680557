/** A ZooKeeper ensemble on this machine: one server, or an odd number that outlives the death of the lesser half. */
import { mkdirSync } from 'node:fs';
import path from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { MeshError } from '@thermomesh/runtime';
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
  /** Each server's data are in `zk-<id>` below it. */
  dataDir: string;
  /** Each server's log is `zk-<id>.log` in it; `dataDir` if left out. */
  logDir?: string;
  /** Client port, quorum port and election port of server 1, then of server 2, …; left out, free ones. */
  ports?: readonly ZooKeeperPorts[];
  tickTimeMs?: number;
  heapMb?: number;
  settings?: Record<string, string>;
}

/** The ports of one server; it keeps them over restarts, because the others' configurations name them. */
export interface ZooKeeperPorts {
  port: number;
  quorumPort: number;
  electionPort: number;
}

/** An ensemble that runs. */
export interface Ensemble {
  /** As clients take it: `127.0.0.1:1,127.0.0.1:2,…`. */
  hosts: string;
  /** In order of their ids. */
  members: readonly Member<ZooKeeperServer>[];
  /** Who leads now (the only server, if it stands alone); undefined while nobody does. */
  leader(): Promise<Member<ZooKeeperServer> | undefined>;
  /** Waits until `count` servers (all that were started, if left out) serve clients. */
  untilServing(count?: number, timeoutMs?: number): Promise<void>;
  /** Stops every server. */
  stop(): Promise<void>;
}

const membersMax = 7;
const pollIntervalMs = 50;
const servingTimeoutDefaultMs = 60_000;

/**
 * Starts the servers side by side and returns when all of them serve.
 * @throws MeshError those of `startZooKeeper`, and `zookeeper.no_quorum`
 */
export async function startEnsemble(options: EnsembleOptions): Promise<Ensemble> {
  const { servers: size } = options;
  const places = options.ports ?? (await Promise.all(Array.from({ length: size }, freePorts)));
  if (places.length !== size) {
    throw new MeshError('zookeeper.start_failed', `${size} servers need ports for ${size}`);
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
 * Stops the servers that run below `dataDir`, whoever started them.
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
    // The first ones up cannot serve before a majority is there.
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
          throw new MeshError(
            'zookeeper.no_quorum',
            `${serving} of ${members.length} ZooKeeper servers serve, ${count} should`,
            { retriable: true },
          );
        }
        await delay(pollIntervalMs);
      }
    },
    async stop() {
      await Promise.all(members.map(async (member) => member.stop()));
    },
  };
}

/** The first `count` for which `test` says true; fewer if all have answered. A frozen server's answer is not waited for. */
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
