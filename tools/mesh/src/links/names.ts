/** How links are called: by their two ends, the one that dials first. */

/** The port of the process that holds the links has this name among theirs. */
export const controlName = 'control';

/** `node-1:node-5`, whichever comes first: of two nodes the lower one dials (libs/peers). */
export function nodeLink(one: number, other: number): string {
  return `node-${Math.min(one, other)}:node-${Math.max(one, other)}`;
}

export function gatewayLink(node: number): string {
  return `node-${node}:gateway`;
}

export function postgresLink(node: number): string {
  return `node-${node}:postgres`;
}

/** To one server of ZooKeeper, which count from 1. */
export function zooKeeperLink(node: number, server: number): string {
  return `node-${node}:zookeeper-${server}`;
}

/** Every link of a mesh with so many nodes and servers of ZooKeeper. */
export function linkNames(nodes: number, zookeepers: number): string[] {
  const ids = Array.from({ length: nodes }, (_, index) => index + 1);
  return [
    ...ids.flatMap((one) => ids.filter((other) => other > one).map((other) => nodeLink(one, other))),
    ...ids.map(gatewayLink),
    ...ids.map(postgresLink),
    ...ids.flatMap((id) => Array.from({ length: zookeepers }, (_, index) => zooKeeperLink(id, index + 1))),
  ];
}
