/** Names of links: their two ends, the dialling end first. */

/** Name of the control port among the ports of the links. */
export const controlName = 'control';

/** The link between two nodes, such as `node-1:node-5`; the lower node dials (libs/peers). */
export function nodeLink(one: number, other: number): string {
  return `node-${Math.min(one, other)}:node-${Math.max(one, other)}`;
}

export function gatewayLink(node: number): string {
  return `node-${node}:gateway`;
}

export function postgresLink(node: number): string {
  return `node-${node}:postgres`;
}

/** The link of a node to one server of ZooKeeper, numbered from 1. */
export function zooKeeperLink(node: number, server: number): string {
  return `node-${node}:zookeeper-${server}`;
}

/** The names of all links of a mesh. */
export function linkNames(nodes: number, zookeepers: number): string[] {
  const ids = Array.from({ length: nodes }, (_, index) => index + 1);
  return [
    ...ids.flatMap((one) => ids.filter((other) => other > one).map((other) => nodeLink(one, other))),
    ...ids.map(gatewayLink),
    ...ids.map(postgresLink),
    ...ids.flatMap((id) => Array.from({ length: zookeepers }, (_, index) => zooKeeperLink(id, index + 1))),
  ];
}
