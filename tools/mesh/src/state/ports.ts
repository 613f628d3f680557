/** The ports of a mesh: chosen once, kept over restarts. */
import { freeLastingPort, type ZooKeeperPorts } from '@thermomesh/servers';
import { readJson, writeJson } from './files.ts';
import type { Layout } from './layout.ts';

export interface MeshPorts {
  mqtt: number;
  http: number;
  postgres: number;
  /** Left out by starts without payments. */
  payments?: PaymentPorts;
  /** Left out by starts without ZooKeeper and Kafka. */
  coordination?: CoordinationPorts;
  /** By equalizer node, from 1; left out by starts without images. */
  images?: number[];
  /** By node id, from 1. */
  nodes: number[];
  /** By link name, and `control` for the process that holds them; empty unless the mesh was started with proxies. */
  links?: Record<string, number>;
}

export interface PaymentPorts {
  redis: number;
  processor: number;
  /** By replica, from 1. */
  billing: number[];
}

export interface CoordinationPorts {
  /** By server, from 1. */
  zookeeper: ZooKeeperPorts[];
  /** By broker, from 1. */
  kafka: number[];
}

/** How many servers of each kind. */
export interface CoordinationSizes {
  zookeeper: 1 | 3 | 5;
  /** 0: no Kafka. */
  kafka: 0 | 1 | 3;
}

export interface PortWishes {
  mqtt?: number | undefined;
  http?: number | undefined;
  nodes: number;
  /** Billing replicas; 0 without payments. */
  billing: number;
  coordination?: CoordinationSizes | undefined;
  /** Equalizer nodes; 0 without images. */
  equalizers?: number;
  /** Names that proxies need ports for. */
  links?: string[];
  /** The standard ports 1883 and 8080 are tried: the default mesh does. */
  standard: boolean;
}

/**
 * Chooses free ports: those asked for (never another one instead), else the ones of the last start, else the standard ones, else any.
 * @param notice one line for people when a port is not the one they may expect
 */
export async function choosePorts(
  layout: Layout,
  wishes: PortWishes,
  notice: (line: string) => void,
): Promise<MeshPorts> {
  const kept = readJson<MeshPorts>(layout.portsFile);
  const pick = async (
    what: string,
    wished: number | undefined,
    last: number | undefined,
    standard: number | undefined,
  ) => {
    // A port that was asked for is used or fails with its own message.
    if (wished !== undefined && wished !== 0) return wished;
    const first = last ?? standard;
    const port = await freeLastingPort(...[last, standard].filter((candidate) => candidate !== undefined));
    if (first !== undefined && port !== first) notice(`port ${first} for ${what} is taken, using ${port}`);
    return port;
  };
  const pickPayments = async (replicas: number): Promise<PaymentPorts> => {
    const redis = await pick('Redis', undefined, kept?.payments?.redis, undefined);
    const processor = await pick('the card processor', undefined, kept?.payments?.processor, undefined);
    const billing: number[] = [];
    for (let index = 0; index < replicas; index += 1)
      billing.push(await pick(`billing-${index + 1}`, undefined, kept?.payments?.billing[index], undefined));
    return { redis, processor, billing };
  };
  const pickCoordination = async (sizes: CoordinationSizes): Promise<CoordinationPorts> => {
    const last = kept?.coordination;
    const zookeeper: ZooKeeperPorts[] = [];
    for (let index = 0; index < sizes.zookeeper; index += 1) {
      const what = `zookeeper-${index + 1}`;
      const old = last?.zookeeper[index];
      zookeeper.push({
        port: await pick(what, undefined, old?.port, undefined),
        quorumPort: await pick(`the quorum of ${what}`, undefined, old?.quorumPort, undefined),
        electionPort: await pick(`the election of ${what}`, undefined, old?.electionPort, undefined),
      });
    }
    const kafka: number[] = [];
    for (let index = 0; index < sizes.kafka; index += 1)
      kafka.push(await pick(`kafka-${index + 1}`, undefined, last?.kafka[index], undefined));
    return { zookeeper, kafka };
  };
  const mqtt = await pick('MQTT', wishes.mqtt, kept?.mqtt, wishes.standard ? 1883 : undefined);
  const http = await pick('HTTP', wishes.http, kept?.http, wishes.standard ? 8080 : undefined);
  const postgres = await pick('PostgreSQL', undefined, kept?.postgres, undefined);
  const nodes: number[] = [];
  for (let index = 0; index < wishes.nodes; index += 1) {
    nodes.push(await pick(`node ${index + 1}`, undefined, kept?.nodes[index], undefined));
  }
  // Kept although this start may not need them: a later one with proxies finds them again.
  const links: Record<string, number> = { ...kept?.links };
  for (const link of wishes.links ?? []) {
    links[link] = await pick(`the link ${link}`, undefined, kept?.links?.[link], undefined);
  }
  const payments = wishes.billing === 0 ? kept?.payments : await pickPayments(wishes.billing);
  const { coordination: sizes } = wishes;
  const coordination = sizes === undefined ? kept?.coordination : await pickCoordination(sizes);
  const images = [...(kept?.images ?? [])];
  for (let index = 0; index < (wishes.equalizers ?? 0); index += 1)
    images[index] = await pick(`equalizer-${index + 1}`, undefined, kept?.images?.[index], undefined);
  const ports = {
    ...{ mqtt, http, postgres, nodes, links },
    ...(payments === undefined ? {} : { payments }),
    ...(coordination === undefined ? {} : { coordination }),
    ...(images.length === 0 ? {} : { images }),
  };
  writeJson(layout.portsFile, ports);
  return ports;
}
