/** The ports of a mesh, chosen once and kept over restarts. */
import { describePortHolder } from '@thermomesh/runtime';
import { freeLastingPort, freePort, type ZooKeeperPorts } from '@thermomesh/servers';
import { meshError } from '../../errors.ts';
import { readJson, writeJson } from '../../mesh/files/files.ts';
import type { Layout } from '../../mesh/files/layout.ts';

export interface MeshPorts {
  mqtt: number;
  http: number;
  postgres: number;
  /** Undefined without payments. */
  payments?: PaymentPorts;
  /** Undefined without ZooKeeper and Kafka. */
  coordination?: CoordinationPorts;
  /** Ports of the equalizer nodes, from node 1; undefined without images. */
  images?: number[];
  /** Ports of the analytics nodes, from node 1. */
  nodes: number[];
  /**
   * Ports by link name, plus `control` for the process that runs the links; empty unless the mesh
   * is started with proxies.
   */
  links?: Record<string, number>;
}

export interface PaymentPorts {
  redis: number;
  processor: number;
  /** Ports of the replicas, from replica 1. */
  billing: number[];
}

export interface CoordinationPorts {
  /** Ports of the servers, from server 1. */
  zookeeper: ZooKeeperPorts[];
  /** Ports of the brokers, from broker 1. */
  kafka: number[];
}

/** Numbers of servers of each kind. */
export interface CoordinationSizes {
  zookeeper: 1 | 3 | 5;
  /** 0 runs no Kafka. */
  kafka: 0 | 1 | 3;
}

export interface PortWishes {
  mqtt?: number | undefined;
  http?: number | undefined;
  nodes: number;
  /** Number of billing replicas; 0 without payments. */
  billing: number;
  coordination?: CoordinationSizes | undefined;
  /** Number of equalizer nodes; 0 without images. */
  equalizers?: number;
  /** Names of the links that need ports. */
  links?: string[];
  /** True if the standard ports 1883 and 8080 are tried, as by the default mesh. */
  standard: boolean;
}

/**
 * Chooses free ports. A requested port is never replaced by another one; otherwise the port of the
 * last start is tried first, then the standard port, then any port.
 * @param notice receives one line if a port is not the expected one
 */
export async function choosePorts(
  layout: Layout,
  wishes: PortWishes,
  notice: (line: string) => void,
): Promise<MeshPorts> {
  const kept = readJson<MeshPorts>(layout.portsFile);
  const pick = pickerOf(notice);
  const mqtt = await pick('MQTT', kept?.mqtt, {
    wished: wishes.mqtt,
    standard: wishes.standard ? 1883 : undefined,
  });
  const http = await pick('HTTP', kept?.http, {
    wished: wishes.http,
    standard: wishes.standard ? 8080 : undefined,
  });
  const postgres = await pick('PostgreSQL', kept?.postgres);
  const nodes: number[] = [];
  for (let index = 0; index < wishes.nodes; index += 1) {
    nodes.push(await pick(`node ${index + 1}`, kept?.nodes[index]));
  }
  // Kept even if this start does not need them, so that a later start with proxies finds them.
  const links: Record<string, number> = { ...kept?.links };
  for (const link of wishes.links ?? []) {
    links[link] = await pick(`the link ${link}`, kept?.links?.[link]);
  }
  const payments =
    wishes.billing === 0 ? kept?.payments : await pickPayments(pick, kept?.payments, wishes.billing);
  const { coordination: sizes } = wishes;
  const coordination =
    sizes === undefined ? kept?.coordination : await pickCoordination(pick, kept?.coordination, sizes);
  const images = [...(kept?.images ?? [])];
  for (let index = 0; index < (wishes.equalizers ?? 0); index += 1)
    images[index] = await pick(`equalizer-${index + 1}`, kept?.images?.[index]);
  const ports = {
    mqtt,
    http,
    postgres,
    nodes,
    links,
    ...(payments === undefined ? {} : { payments }),
    ...(coordination === undefined ? {} : { coordination }),
    ...(images.length === 0 ? {} : { images }),
  };
  writeJson(layout.portsFile, ports);
  return ports;
}

/**
 * Chooses the port of `what`.
 * @param last its port at the last start
 */
type PickPort = (
  what: string,
  last: number | undefined,
  own?: { wished: number | undefined; standard: number | undefined },
) => Promise<number>;

function pickerOf(notice: (line: string) => void): PickPort {
  return async (what, last, { wished, standard } = { wished: undefined, standard: undefined }) => {
    if (wished !== undefined && wished !== 0) {
      if ((await freePort(wished)) === wished) return wished;
      throw meshError(
        'mesh.port_taken',
        `port ${wished} for ${what} (--${what.toLowerCase()}-port) is taken by ${describePortHolder(wished)}: end that process, or choose another port`,
      );
    }
    const first = last ?? standard;
    const port = await freeLastingPort(...[last, standard].filter((candidate) => candidate !== undefined));
    if (first !== undefined && port !== first)
      notice(`port ${first} for ${what} is taken by ${describePortHolder(first)}, using ${port}`);
    return port;
  };
}

async function pickPayments(
  pick: PickPort,
  last: PaymentPorts | undefined,
  replicas: number,
): Promise<PaymentPorts> {
  const redis = await pick('Redis', last?.redis);
  const processor = await pick('the card processor', last?.processor);
  const billing: number[] = [];
  for (let index = 0; index < replicas; index += 1)
    billing.push(await pick(`billing-${index + 1}`, last?.billing[index]));
  return { redis, processor, billing };
}

async function pickCoordination(
  pick: PickPort,
  last: CoordinationPorts | undefined,
  sizes: CoordinationSizes,
): Promise<CoordinationPorts> {
  const zookeeper: ZooKeeperPorts[] = [];
  for (let index = 0; index < sizes.zookeeper; index += 1) {
    const what = `zookeeper-${index + 1}`;
    const old = last?.zookeeper[index];
    zookeeper.push({
      port: await pick(what, old?.port),
      quorumPort: await pick(`the quorum of ${what}`, old?.quorumPort),
      electionPort: await pick(`the election of ${what}`, old?.electionPort),
    });
  }
  const kafka: number[] = [];
  for (let index = 0; index < sizes.kafka; index += 1)
    kafka.push(await pick(`kafka-${index + 1}`, last?.kafka[index]));
  return { zookeeper, kafka };
}
