/** Kafka brokers on this machine: one, or three that outlive the death of one without losing what was acknowledged. */
import { mkdirSync } from 'node:fs';
import path from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { MeshError } from '@thermomesh/runtime';
import type { ServerOptions } from '../launch.ts';
import { allOrNone, memberOf, type Member } from '../members.ts';
import { freeLastingPort } from '../ports.ts';
import { startKafka, stopKafka, type KafkaServer } from './server.ts';

export interface KafkaClusterOptions extends Omit<ServerOptions, 'dataDir' | 'port' | 'logFile'> {
  brokers: 1 | 3;
  zookeeperHosts: string;
  /** Each broker's data are in `kafka-<id>` below it. */
  dataDir: string;
  /** Each broker's log is `kafka-<id>.log` in it; `dataDir` if left out. */
  logDir?: string;
  /** Of broker 1, 2, …; left out, free ones. */
  ports?: readonly number[];
  heapMb?: number;
  settings?: Record<string, string>;
}

/** A cluster that runs. */
export interface KafkaCluster {
  /** As clients take it: `127.0.0.1:1,127.0.0.1:2,…`. */
  brokers: string;
  /** In order of their ids. */
  members: readonly Member<KafkaServer>[];
  /** Waits until each broker that should run knows `count` brokers (all that were started, if left out) and a controller among them. */
  untilComplete(count?: number, timeoutMs?: number): Promise<void>;
  /** Stops every broker. */
  stop(): Promise<void>;
}

const brokersMax = 3;
const pollIntervalMs = 50;
const completeTimeoutDefaultMs = 90_000;

/**
 * Starts the brokers side by side and returns when each knows all of them.
 * @throws MeshError those of `startKafka`, and `kafka.incomplete`
 */
export async function startKafkaCluster(options: KafkaClusterOptions): Promise<KafkaCluster> {
  const { brokers: size, dataDir, logDir = dataDir, ports: given, ...rest } = options;
  const ports = given ?? (await Promise.all(Array.from({ length: size }, async () => freeLastingPort())));
  if (ports.length !== size) {
    throw new MeshError('kafka.start_failed', `${size} brokers need ${size} ports, not ${ports.length}`);
  }
  mkdirSync(dataDir, { recursive: true, mode: 0o700 });
  const start = async (port: number, index: number): Promise<Member<KafkaServer>> => {
    const id = index + 1;
    const own = {
      ...rest,
      id,
      port,
      brokers: size,
      dataDir: brokerDir(dataDir, id),
      logFile: path.join(logDir, `kafka-${id}.log`),
    };
    return memberOf(id, await startKafka(own), async () => startKafka(own));
  };
  const members = await allOrNone(ports.map(start), async (member) => member.stop());
  const cluster = clusterOf(members);
  try {
    await cluster.untilComplete(size, options.startTimeoutMs);
  } catch (error) {
    await cluster.stop();
    throw error;
  }
  return cluster;
}

/**
 * Stops the brokers that run below `dataDir`, whoever started them.
 * @returns how many there were
 */
export async function stopKafkaCluster(dataDir: string): Promise<number> {
  const ids = Array.from({ length: brokersMax }, (_, index) => index + 1);
  const stopped = await Promise.all(ids.map(async (id) => stopKafka(brokerDir(dataDir, id))));
  return stopped.filter(Boolean).length;
}

function brokerDir(dataDir: string, id: number): string {
  return path.join(dataDir, `kafka-${id}`);
}

function clusterOf(members: Member<KafkaServer>[]): KafkaCluster {
  return {
    brokers: members.map(({ host }) => host).join(','),
    members,
    async untilComplete(count = members.length, timeoutMs = completeTimeoutDefaultMs) {
      const deadline = Date.now() + timeoutMs;
      while (!(await knowEachOther(members, count))) {
        if (Date.now() > deadline) {
          throw new MeshError('kafka.incomplete', `not ${count} Kafka brokers that know each other`, {
            retriable: true,
          });
        }
        await delay(pollIntervalMs);
      }
    },
    async stop() {
      await Promise.all(members.map(async (member) => member.stop()));
    },
  };
}

/** True if `count` brokers answer, and each names exactly them, and one of them as controller. */
async function knowEachOther(members: readonly Member<KafkaServer>[], count: number): Promise<boolean> {
  const asked = members.map(async ({ id, server }) => ({ id, state: await server.state() }));
  const alive = (await Promise.all(asked)).filter(({ state }) => state !== undefined);
  const ids = alive.map(({ id }) => id).join();
  return (
    alive.length === count &&
    alive.every(
      ({ state }) => state?.brokerIds.join() === ids && state.brokerIds.includes(state.controllerId),
    )
  );
}
