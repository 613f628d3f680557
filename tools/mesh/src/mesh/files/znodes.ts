/** Paths of a mesh in ZooKeeper; they keep several meshes on one server apart. */

/** The group of the analytics nodes: its members, and the queue of its election. */
export function analyticsPath(mesh: string): string {
  return `/thermomesh/${mesh}/analytics`;
}

/** Jobs, roles and members of the equalizer. */
export function equalizerPath(mesh: string): string {
  return `/thermomesh/${mesh}/equalizer`;
}

/** The folder in which services announce themselves. */
export function servicesPath(mesh: string): string {
  return `/thermomesh/${mesh}/services`;
}

/** Kafka's root in an external ZooKeeper. */
export function kafkaPath(mesh: string): string {
  return `/thermomesh/${mesh}/kafka`;
}
