/**
 * The coordination part of the mesh: ZooKeeper, and Kafka on it. Parts that need neither do not
 * wait for them.
 */
import { mkdirSync } from 'node:fs';
import path from 'node:path';
import { sleep } from '@thermomesh/runtime';
import { startKafka, startZooKeeper } from '@thermomesh/servers';
import { meshError } from '../../errors.ts';
import { kafkaPath } from '../../mesh/files/znodes.ts';
import type { CoordinationSizes } from '../state/ports.ts';
import { host, type PlanOptions } from './launching.ts';
import type { Launched, ProcessExit, ProcessSpec } from './spec.ts';
import type { Stage } from './supervisor.ts';

export interface CoordinationPlan {
  stages: Stage[];
  /**
   * The address for processes of the mesh, known before ZooKeeper serves; null if it is not
   * available.
   */
  zookeeperAddress(): string | null;
  /**
   * The address for people and tools: null until ZooKeeper has served once, or if it is not
   * available.
   */
  zookeeperHosts(): string | null;
  /** Null until a broker has served once, or if Kafka is not available. */
  kafkaBrokers(): string | null;
  /** Settles when both have served once or are not available: whether they serve. */
  up: Promise<boolean>;
}

/** Interval at which a starting server is asked whether it serves. */
const servingPollMs = 50;

type State = 'starting' | 'up' | 'absent';

/**
 * Plans ZooKeeper and Kafka. If the nodes elect with ZooKeeper, its failure is a failure of the
 * mesh.
 */
export function planCoordination(options: PlanOptions, sizes: CoordinationSizes): CoordinationPlan {
  const { config, ports } = options;
  if (ports.coordination === undefined)
    throw meshError('mesh.start_failed', 'no ports were chosen for ZooKeeper and Kafka');
  const { kafka } = ports.coordination;
  const hosts = zooKeeperAddresses(options).join(',');
  const brokers = config.kafkaBrokers ?? kafka.map((port) => `${host}:${port}`).join(',');
  const ownZooKeeper = config.zookeeperHosts === undefined;
  const ownKafka = config.kafkaBrokers === undefined;
  const state: { zookeeper: State; kafka: State } = {
    zookeeper: ownZooKeeper ? 'starting' : 'up',
    kafka: ownKafka ? 'starting' : 'up',
  };
  const servers = ownZooKeeper ? zooKeeperSpecs(options, sizes.zookeeper) : [];
  const first = outcomesOf(servers, () => (state.zookeeper = 'up'));
  void first.settled.then((up) => !up && (state.zookeeper = 'absent'));
  const kafkas = ownKafka && sizes.kafka > 0 ? kafkaSpecs(options, sizes.kafka, hosts) : [];
  const firstKafka = outcomesOf(kafkas, () => (state.kafka = 'up'));
  void firstKafka.settled.then((up) => !up && (state.kafka = 'absent'));
  return {
    stages: [
      { specs: first.specs, ...(options.election === 'zookeeper' ? {} : { part: 'ZooKeeper', late: true }) },
      {
        specs: firstKafka.specs,
        part: 'Kafka',
        late: true,
        before: async () => {
          if (kafkas.length > 0 && !(await first.settled))
            throw meshError('kafka.no_zookeeper', 'it needs ZooKeeper');
        },
      },
    ],
    zookeeperAddress: () => (state.zookeeper === 'absent' ? null : hosts),
    zookeeperHosts: () => (state.zookeeper === 'up' ? hosts : null),
    kafkaBrokers: () => (state.kafka === 'up' && brokers !== '' ? brokers : null),
    up: first.settled.then(async (up) => up && brokers !== '' && (await firstKafka.settled)),
  };
}

/**
 * `host:port` of each ZooKeeper server, the mesh's own or an external one; empty without
 * coordination.
 */
export function zooKeeperAddresses({
  config,
  ports,
  coordination,
}: Pick<PlanOptions, 'config' | 'ports' | 'coordination'>): string[] {
  if (coordination === undefined) return [];
  if (config.zookeeperHosts !== undefined) return config.zookeeperHosts.split(',');
  return (ports.coordination?.zookeeper ?? []).map(({ port }) => `${host}:${port}`);
}

/** The specs, and whether all of them started at the first attempt; true if there are none. */
function outcomesOf(
  specs: ProcessSpec[],
  onServes: () => void,
): { specs: ProcessSpec[]; settled: Promise<boolean> } {
  const outcomes = specs.map(() => Promise.withResolvers<boolean>());
  return {
    specs: specs.map((spec, index) => ({
      ...spec,
      // A server that is not available now will not be available a moment later.
      firstStartsMax: 1,
      async launch(start: number) {
        try {
          const launched = await spec.launch(start);
          outcomes[index]?.resolve(true);
          void launched.ready.then(onServes);
          return launched;
        } catch (error) {
          outcomes[index]?.resolve(false);
          throw error;
        }
      },
    })),
    settled: Promise.all(outcomes.map(({ promise }) => promise)).then((all) => all.every(Boolean)),
  };
}

function zooKeeperSpecs(options: PlanOptions, size: CoordinationSizes['zookeeper']): ProcessSpec[] {
  const { layout, ports, notice } = options;
  const places = ports.coordination?.zookeeper ?? [];
  const peers = places.map((place, index) => ({ ...place, id: index + 1 }));
  return peers.map((peer) => {
    const name = `zookeeper-${peer.id}`;
    const logFile = layout.logFile(name);
    return {
      name,
      role: 'zookeeper' as const,
      url: `${host}:${peer.port}`,
      ports: { zookeeper: peer.port },
      logFile,
      async launch(start: number) {
        mkdirSync(layout.zookeeperDir, { recursive: true });
        const server = await startZooKeeper({
          dataDir: path.join(layout.zookeeperDir, `zk-${peer.id}`),
          port: peer.port,
          logFile,
          id: peer.id,
          ...(size === 1 ? {} : { peers }),
          // The first servers cannot serve before a majority is up.
          readyWhen: 'running',
          replaceRunning: true,
          onNotice: (line) => start === 1 && peer.id === 1 && notice(line),
        });
        return whenItServes(server, async () => (await server.state()) !== undefined);
      },
    };
  });
}

function kafkaSpecs(options: PlanOptions, size: number, hosts: string): ProcessSpec[] {
  const { layout, ports, notice } = options;
  return (ports.coordination?.kafka ?? []).map((port, index) => {
    const id = index + 1;
    const name = `kafka-${id}`;
    const logFile = layout.logFile(name);
    return {
      name,
      role: 'kafka' as const,
      url: `${host}:${port}`,
      ports: { kafka: port },
      logFile,
      async launch(start: number) {
        mkdirSync(layout.kafkaDir, { recursive: true });
        const server = await startKafka({
          dataDir: path.join(layout.kafkaDir, `kafka-${id}`),
          port,
          logFile,
          id,
          brokers: size,
          // Meshes that share a ZooKeeper keep their clusters apart.
          zookeeperHosts: `${hosts}${kafkaRoot(options)}`,
          replaceRunning: true,
          onNotice: (line) => start === 1 && id === 1 && notice(line),
        });
        return { ...server, ready: Promise.resolve(), stop: async () => server.stop() };
      },
    };
  });
}

/** Kafka's root. In the mesh's own ZooKeeper it is the root, where people and tools expect it. */
function kafkaRoot({ config, name }: PlanOptions): string {
  return config.zookeeperHosts === undefined ? '' : kafkaPath(name);
}

interface Server {
  pid: number;
  startTime: string;
  exited: Promise<ProcessExit>;
  stop(): Promise<void>;
}

function whenItServes(server: Server, serves: () => Promise<boolean>): Launched {
  let ended = false;
  void server.exited.then(() => (ended = true));
  const poll = async () => {
    while (!ended && !(await serves())) await sleep(servingPollMs);
  };
  const { pid, startTime, exited } = server;
  return { pid, startTime, exited, ready: poll(), stop: async () => server.stop() };
}
