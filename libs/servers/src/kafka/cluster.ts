/**
 * Kafka clusters on this machine: one broker, or three, of which one may die without the loss of an
 * acknowledged record.
 */
import { mkdirSync } from 'node:fs';
import path from 'node:path';
import { sleep } from '@thermomesh/runtime';
import { serverError } from '../errors.ts';
import type { ServerOptions } from '../launch.ts';
import { allOrNone, memberOf, type Member } from '../members.ts';
import { freeLastingPort } from '../ports.ts';
import { startKafka, stopKafka, type KafkaServer } from './server.ts';

export interface KafkaClusterOptions extends Omit<ServerOptions, 'dataDir' | 'port' | 'logFile'> {
  brokers: 1 | 3;
  zookeeperHosts: string;
  /** Contains the data of each broker, in `kafka-<id>`. */
  dataDir: string;
  /** Contains the log of each broker, `kafka-<id>.log`. Default: `dataDir`. */
  logDir?: string;
  /** Ports of broker 1, 2, …; default: free ports. */
  ports?: readonly number[];
  heapMb?: number;
  settings?: Record<string, string>;
}

/** A running cluster. */
export interface KafkaCluster {
  /** The list that clients take: `127.0.0.1:1,127.0.0.1:2,…`. */
  brokers: string;
  /** Sorted by id. */
  members: readonly Member<KafkaServer>[];
  /**
   * Waits until `count` brokers answer, each of which knows all of them and a controller among
   * them. Default: all brokers that were started.
   */
  untilComplete(count?: number, timeoutMs?: number): Promise<void>;
  /** Stops every broker. */
  stop(): Promise<void>;
}

const brokersMax = 3;
const pollIntervalMs = 50;
const completeTimeoutDefaultMs = 90_000;

/**
 * Starts the brokers concurrently and returns when each of them knows all others.
 * @throws MeshError the errors of `startKafka`, and `kafka.incomplete`
 */
export async function startKafkaCluster(options: KafkaClusterOptions): Promise<KafkaCluster> {
  const { brokers: size, dataDir, logDir = dataDir, ports: given, ...rest } = options;
  const ports = given ?? (await Promise.all(Array.from({ length: size }, async () => freeLastingPort())));
  if (ports.length !== size) {
    throw serverError('kafka.start_failed', `${size} brokers need ${size} ports, not ${ports.length}`, {
      retriable: false,
    });
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
 * Stops the brokers that run below `dataDir`, no matter which process started them.
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
          throw serverError('kafka.incomplete', `not ${count} Kafka brokers that know each other`);
        }
        await sleep(pollIntervalMs);
      }
    },
    async stop() {
      await Promise.all(members.map(async (member) => member.stop()));
    },
  };
}

/** True if `count` brokers answer and each of them names exactly these, and one as controller. */
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
