/** Where a mesh keeps what in ZooKeeper: a server that several meshes share keeps them apart. */

/** The group of the analytics nodes: its members, and the queue of its election. */
export function analyticsPath(mesh: string): string {
  return `/thermomesh/${mesh}/analytics`;
}

/** Jobs, roles and members of the equalizer. */
export function equalizerPath(mesh: string): string {
  return `/thermomesh/${mesh}/equalizer`;
}

/** Services list themselves below it. */
export function servicesPath(mesh: string): string {
  return `/thermomesh/${mesh}/services`;
}

/** Kafka's root in a ZooKeeper that is not the mesh's own. */
export function kafkaPath(mesh: string): string {
  return `/thermomesh/${mesh}/kafka`;
}
