/** The ports of a mesh: chosen once, kept over restarts. */
import { freeLastingPort } from '@thermomesh/servers';
import { readJson, writeJson } from './files.ts';
import type { Layout } from './layout.ts';

export interface MeshPorts {
  mqtt: number;
  http: number;
  postgres: number;
  /** Left out by starts without payments. */
  payments?: PaymentPorts;
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

export interface PortWishes {
  mqtt?: number | undefined;
  http?: number | undefined;
  nodes: number;
  /** Billing replicas; 0 without payments. */
  billing: number;
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
  const ports = { mqtt, http, postgres, nodes, links, ...(payments === undefined ? {} : { payments }) };
  writeJson(layout.portsFile, ports);
  return ports;
}
