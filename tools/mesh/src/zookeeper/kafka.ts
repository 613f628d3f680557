/** The metadata that Kafka keeps in ZooKeeper. Pure. */
import type { ZkKafkaDocument } from '@thermomesh/contracts';
import type { NodeData } from '@thermomesh/zookeeper';

/** The nodes of the metadata, in the layout of Kafka's `kafka.zk.ZkData`. */
export const kafkaPaths = {
  clusterId: '/cluster/id',
  controller: '/controller',
  controllerEpoch: '/controller_epoch',
  brokers: '/brokers/ids',
  topics: '/brokers/topics',
  broker: (id: string) => `/brokers/ids/${id}`,
  topic: (name: string) => `/brokers/topics/${name}`,
  state: (topic: string, partition: number) => `/brokers/topics/${topic}/partitions/${partition}/state`,
} as const;

/** Paths with the data of their nodes; a node that does not exist is missing. */
export type KafkaNodes = ReadonlyMap<string, NodeData>;
type Topic = ZkKafkaDocument['topics'][number];
type Partition = Topic['partitions'][number];
type Broker = ZkKafkaDocument['brokers'][number];

/** The number that the controller writes if a partition has no leader. */
const noLeader = -1;

/** The partitions of a topic with their replicas, by number. */
export function partitionsOf(topic: NodeData | undefined): { partition: number; replicas: number[] }[] {
  const assigned = objectOf(objectOf(topic)['partitions']);
  return Object.entries(assigned)
    .map(([number, replicas]) => ({ partition: Number(number), replicas: numbersOf(replicas) }))
    .filter(({ partition }) => Number.isInteger(partition) && partition >= 0)
    .sort((left, right) => left.partition - right.partition);
}

/** Describes the nodes; a value that is missing or not understood is null. */
export function describeKafka(
  nodes: KafkaNodes,
  names: { brokers: readonly string[]; topics: readonly string[] },
): Omit<ZkKafkaDocument, 'at' | 'changes'> {
  const brokers = names.brokers
    .map((id) => describeBroker(id, nodes.get(kafkaPaths.broker(id))))
    .filter((broker) => broker !== undefined)
    .sort((left, right) => left.id - right.id);
  const alive = new Set(brokers.map(({ id }) => id));
  const epochNode = nodes.get(kafkaPaths.controllerEpoch);
  return {
    clusterId: textOf(objectOf(nodes.get(kafkaPaths.clusterId))['id']),
    controller: wholeOf(objectOf(nodes.get(kafkaPaths.controller))['brokerid']),
    controllerEpoch: epochNode === undefined ? null : wholeOf(Number(epochNode.data.toString())),
    brokers,
    topics: [...names.topics].sort().map((name) => {
      const partitions = partitionsOf(nodes.get(kafkaPaths.topic(name)));
      const describe = ({ partition, replicas }: (typeof partitions)[number]) =>
        describePartition(partition, replicas, nodes.get(kafkaPaths.state(name, partition)), alive);
      return { name, partitions: partitions.map(describe) };
    }),
  };
}

function describeBroker(id: string, node: NodeData | undefined): Broker | undefined {
  if (node === undefined || !/^\d+$/.test(id)) return undefined;
  const { host, port, endpoints } = objectOf(node);
  // Without a PLAINTEXT listener host and port are empty, and the address is in the endpoints.
  const named = textOf(host) !== null && (wholeOf(port) ?? noLeader) > 0;
  const address = named ? `${textOf(host)}:${wholeOf(port)}` : addressOf(endpoints);
  return {
    id: Number(id),
    address,
    session: String(node.stat.ephemeralOwner),
    epoch: String(node.stat.czxid),
  };
}

function addressOf(endpoints: unknown): string | null {
  const [first] = Array.isArray(endpoints) ? (endpoints as unknown[]) : [];
  return textOf(first)?.replace(/^\w+:\/\//, '') ?? null;
}

function describePartition(
  partition: number,
  replicas: number[],
  state: NodeData | undefined,
  alive: ReadonlySet<number>,
): Partition {
  const { leader, leader_epoch: leaderEpoch, controller_epoch: controllerEpoch, isr } = objectOf(state);
  const known = wholeOf(leader);
  const inSync = numbersOf(isr).sort((left, right) => left - right);
  return {
    partition,
    replicas,
    leader: known === noLeader ? null : known,
    leaderEpoch: wholeOf(leaderEpoch),
    inSync,
    controllerEpoch: wholeOf(controllerEpoch),
    leaderAlive: known !== null && alive.has(known),
    // The node lists a dead broker until the controller has removed it.
    underReplicated: inSync.filter((id) => alive.has(id)).length < replicas.length,
  };
}

/** The changes between two descriptions in words, the most important ones first. */
export function changesBetween(
  before: Omit<ZkKafkaDocument, 'at' | 'changes'>,
  after: Omit<ZkKafkaDocument, 'at' | 'changes'>,
): string[] {
  const changes: string[] = [];
  const noteIf = (differs: boolean, text: string) => differs && changes.push(text);
  for (const { id } of before.brokers)
    noteIf(!after.brokers.some((each) => each.id === id), `broker ${id} is gone`);
  for (const { id, epoch, address } of after.brokers) {
    const old = before.brokers.find((each) => each.id === id);
    noteIf(old === undefined, `broker ${id} is there (${address ?? 'no address'})`);
    noteIf(old !== undefined && old.epoch !== epoch, `broker ${id} has registered again`);
  }
  noteIf(
    before.controller !== after.controller,
    `controller ${or(before.controller)} → ${or(after.controller)}`,
  );
  noteIf(
    before.controllerEpoch !== after.controllerEpoch,
    `controller epoch ${or(before.controllerEpoch)} → ${or(after.controllerEpoch)}`,
  );
  for (const { name } of before.topics)
    noteIf(!after.topics.some((each) => each.name === name), `topic ${name} is gone`);
  for (const topic of after.topics) {
    const old = before.topics.find(({ name }) => name === topic.name);
    noteIf(old === undefined, `topic ${topic.name} is there`);
    for (const partition of old === undefined ? [] : topic.partitions) {
      changes.push(...partitionChanges(topic.name, old, partition));
    }
  }
  return changes;
}

function partitionChanges(topic: string, old: Topic | undefined, now: Partition): string[] {
  const name = `${topic}/${now.partition}`;
  const before = old?.partitions.find(({ partition }) => partition === now.partition);
  if (before === undefined) return [`${name} is there`];
  const changes: string[] = [];
  if (before.leader !== now.leader) changes.push(`${name} leader ${or(before.leader)} → ${or(now.leader)}`);
  if (before.leaderEpoch !== now.leaderEpoch)
    changes.push(`${name} leader epoch ${or(before.leaderEpoch)} → ${or(now.leaderEpoch)}`);
  if (before.inSync.join() !== now.inSync.join())
    changes.push(`${name} in sync ${listed(before.inSync)} → ${listed(now.inSync)}`);
  if (before.replicas.join() !== now.replicas.join())
    changes.push(`${name} replicas ${listed(before.replicas)} → ${listed(now.replicas)}`);
  return changes;
}

const or = (value: number | null): string => (value === null ? 'none' : String(value));
const listed = (ids: readonly number[]): string => (ids.length === 0 ? 'none' : ids.join(','));

/**
 * The object in a node, or the value if it is an object already; an empty object for anything else,
 * because others may write anything there.
 */
function objectOf(value: unknown): Record<string, unknown> {
  if (typeof value !== 'object' || value === null) return {};
  if (!('data' in value && 'stat' in value)) return value as Record<string, unknown>;
  try {
    const parsed: unknown = JSON.parse(String((value as NodeData).data));
    return typeof parsed === 'object' && parsed !== null ? (parsed as Record<string, unknown>) : {};
  } catch {
    return {};
  }
}

function wholeOf(value: unknown): number | null {
  return Number.isInteger(value) ? (value as number) : null;
}

function textOf(value: unknown): string | null {
  return typeof value === 'string' && value !== '' ? value : null;
}

function numbersOf(value: unknown): number[] {
  return Array.isArray(value) ? value.filter((each): each is number => Number.isInteger(each)) : [];
}
