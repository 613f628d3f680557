/**
 * Topic filters in a tree by level. The cost of matching depends on the number of levels of the
 * topic, not on the number of filters.
 */

interface Node<T> {
  children: Map<string, Node<T>>;
  values: Map<string, T>;
}

/** Values by topic filter and owner. */
export interface TopicTree<T> {
  /** Sets the value of `owner` at `filter`. */
  set(filter: string, owner: string, value: T): void;
  delete(filter: string, owner: string): void;
  /** All values whose filter matches `topic`, in no particular order. */
  match(topic: string): T[];
  /** Number of values. */
  readonly size: number;
}

/** Makes an empty tree. */
export function createTopicTree<T>(): TopicTree<T> {
  const root = createNode<T>();
  let size = 0;

  function walk(node: Node<T>, levels: readonly string[], depth: number, found: T[]): void {
    // '#' also matches the level above it [MQTT 3.1.1, 4.7.1.2]; wildcards do not match a leading
    // '$' [MQTT-4.7.2-1].
    const wild = depth > 0 || !levels[0]!.startsWith('$');
    if (wild) collect(node.children.get('#'), found);
    if (depth === levels.length) return collect(node, found);
    const exact = node.children.get(levels[depth]!);
    if (exact !== undefined) walk(exact, levels, depth + 1, found);
    const single = wild ? node.children.get('+') : undefined;
    if (single !== undefined) walk(single, levels, depth + 1, found);
  }

  return {
    get size() {
      return size;
    },
    set(filter, owner, value) {
      let node = root;
      for (const level of filter.split('/')) {
        let child = node.children.get(level);
        if (child === undefined) node.children.set(level, (child = createNode()));
        node = child;
      }
      if (!node.values.has(owner)) size += 1;
      node.values.set(owner, value);
    },
    delete(filter, owner) {
      if (remove(root, filter.split('/'), 0, owner)) size -= 1;
    },
    match(topic) {
      if (size === 0) return [];
      const found: T[] = [];
      walk(root, topic.split('/'), 0, found);
      return found;
    },
  };
}

/** True if `filter` matches `topic`. */
export function matches(filter: string, topic: string): boolean {
  const wanted = filter.split('/');
  const levels = topic.split('/');
  if (topic.startsWith('$') && (wanted[0] === '#' || wanted[0] === '+')) return false;
  for (const [index, level] of wanted.entries()) {
    if (level === '#') return true;
    if (index >= levels.length || (level !== '+' && level !== levels[index])) return false;
  }
  return wanted.length === levels.length;
}

/** True if `filter` is well-formed [MQTT-4.7.1-2], [MQTT-4.7.1-3]. */
export function isTopicFilter(filter: string): boolean {
  const levels = filter.split('/');
  return (
    filter.length > 0 &&
    levels.every((level, index) =>
      level === '#' ? index === levels.length - 1 : level === '+' || !/[#+]/.test(level),
    )
  );
}

/** True if `topic` is a topic name, which has no wildcards [MQTT-4.7.1-1] [MQTT-4.7.3-1]. */
export function isTopicName(topic: string): boolean {
  return topic.length > 0 && !/[#+]/.test(topic);
}

function createNode<T>(): Node<T> {
  return { children: new Map(), values: new Map() };
}

function collect<T>(node: Node<T> | undefined, found: T[]): void {
  if (node !== undefined) for (const value of node.values.values()) found.push(value);
}

/** Removes a value and the branches that become empty; true if the value existed. */
function remove<T>(node: Node<T>, levels: readonly string[], depth: number, owner: string): boolean {
  if (depth === levels.length) return node.values.delete(owner);
  const child = node.children.get(levels[depth]!);
  if (child === undefined || !remove(child, levels, depth + 1, owner)) return false;
  if (child.values.size === 0 && child.children.size === 0) node.children.delete(levels[depth]!);
  return true;
}
