/**
 * The addresses that each node receives of the other processes: the true ones, or those of the
 * proxies.
 */
import type { LinkSpec } from '@thermomesh/links';
import { meshError } from '../../errors.ts';
import { gatewayLink, nodeLink, postgresLink, zooKeeperLink } from '../links/names.ts';
import type { MeshPorts } from '../state/ports.ts';

const host = '127.0.0.1';
const postgresPort = 5432;

/** The addresses of the processes themselves. */
export interface TrueAddresses {
  mqtt: string;
  /** Addresses of the nodes, from node 1. */
  nodes: string[];
  database: string;
  /** `host:port` of each server; empty without ZooKeeper. */
  zookeeper: readonly string[];
}

/**
 * The variables with addresses for node `id`. With proxies each node has its own port for each of
 * its links.
 */
export function nodeAddresses(
  { proxied, ports }: { proxied: boolean; ports: MeshPorts },
  id: number,
  { mqtt, nodes, database, zookeeper }: TrueAddresses,
): Record<string, string> {
  const through = (link: string) => `${host}:${linkPort(ports, link)}`;
  const peers = nodes.map((url, index) => {
    const peer = index + 1;
    // Only the lower node dials, so a higher one gets the true address and does not use it.
    return `${peer}=${proxied && peer > id ? `http://${through(nodeLink(id, peer))}` : url}`;
  });
  const servers = zookeeper.map((address, index) =>
    proxied ? through(zooKeeperLink(id, index + 1)) : address,
  );
  return {
    PEERS: peers.join(','),
    MQTT_URL: proxied ? `mqtt://${through(gatewayLink(id))}` : mqtt,
    DATABASE_URL: proxied ? withHost(database, through(postgresLink(id))) : database,
    ...(zookeeper.length === 0 ? {} : { ZOOKEEPER_HOSTS: servers.join(',') }),
  };
}

/**
 * The links for the process that runs them.
 * @throws MeshError `usage` if the database cannot be reached over TCP
 */
export function linkSpecs(
  ports: MeshPorts,
  { foreignDatabase, zookeeper }: { foreignDatabase: string | undefined; zookeeper: readonly string[] },
): LinkSpec[] {
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
    for (const [server, address] of zookeeper.entries())
      add(zooKeeperLink(id, server + 1), hostAndPortOf(address));
  }
  return specs;
}

export function linkPort(ports: MeshPorts, link: string): number {
  const port = ports.links?.[link];
  if (port === undefined) throw meshError('mesh.start_failed', `no port was chosen for the link ${link}`);
  return port;
}

function withHost(url: string, hostAndPort: string): string {
  const parsed = new URL(url);
  parsed.host = hostAndPort;
  return parsed.href;
}

function hostAndPortOf(address: string): LinkSpec['target'] {
  const colon = address.lastIndexOf(':');
  return { host: address.slice(0, colon), port: Number(address.slice(colon + 1)) };
}

function addressOf(url: string): LinkSpec['target'] {
  const { hostname, port, searchParams } = new URL(url);
  if (hostname === '' || searchParams.has('host')) {
    throw meshError(
      'usage',
      '--proxied needs a DATABASE_URL with a host name, because a proxy works over TCP',
    );
  }
  return { host: hostname, port: port === '' ? postgresPort : Number(port) };
}
