/** Under which addresses the nodes are told to find everybody: the true ones, or those of the proxies. */
import type { LinkSpec } from '@thermomesh/links';
import { MeshError } from '@thermomesh/runtime';
import { gatewayLink, nodeLink, postgresLink } from '../links/names.ts';
import type { MeshPorts } from '../state/ports.ts';

const host = '127.0.0.1';
const postgresPort = 5432;

/** Addresses of the processes themselves. */
export interface TrueAddresses {
  mqtt: string;
  /** Of the nodes, from node 1. */
  nodes: string[];
  database: string;
}

/** The variables of node `id` that name others. With proxies each node has a port of its own for each of its links. */
export function nodeAddresses(
  { proxied, ports }: { proxied: boolean; ports: MeshPorts },
  id: number,
  { mqtt, nodes, database }: TrueAddresses,
): Record<string, string> {
  const through = (link: string) => `${host}:${linkPort(ports, link)}`;
  const peers = nodes.map((url, index) => {
    const peer = index + 1;
    // Only the lower node dials; a higher one is given the true address and does not use it.
    return `${peer}=${proxied && peer > id ? `http://${through(nodeLink(id, peer))}` : url}`;
  });
  return {
    PEERS: peers.join(','),
    MQTT_URL: proxied ? `mqtt://${through(gatewayLink(id))}` : mqtt,
    DATABASE_URL: proxied ? withHost(database, through(postgresLink(id))) : database,
  };
}

/** What the process that holds the links is told. @throws MeshError `usage` if the database cannot be reached over TCP */
export function linkSpecs(ports: MeshPorts, foreignDatabase: string | undefined): LinkSpec[] {
  const database =
    foreignDatabase === undefined ? { host, port: ports.postgres } : addressOf(foreignDatabase);
  const specs: LinkSpec[] = [];
  const add = (name: string, target: LinkSpec['target']) =>
    specs.push({ name, port: linkPort(ports, name), target });
  for (const index of ports.nodes.keys()) {
    const id = index + 1;
    for (const [other, port] of ports.nodes.entries()) {
      if (other > index) add(nodeLink(id, other + 1), { host, port });
    }
    add(gatewayLink(id), { host, port: ports.mqtt });
    add(postgresLink(id), database);
  }
  return specs;
}

export function linkPort(ports: MeshPorts, link: string): number {
  const port = ports.links?.[link];
  if (port === undefined) throw new MeshError('mesh.start_failed', `no port was chosen for the link ${link}`);
  return port;
}

function withHost(url: string, hostAndPort: string): string {
  const parsed = new URL(url);
  parsed.host = hostAndPort;
  return parsed.href;
}

function addressOf(url: string): LinkSpec['target'] {
  const { hostname, port, searchParams } = new URL(url);
  if (hostname === '' || searchParams.has('host')) {
    throw new MeshError('usage', '--proxied needs a DATABASE_URL with a host name: a proxy stands on TCP');
  }
  return { host: hostname, port: port === '' ? postgresPort : Number(port) };
}
