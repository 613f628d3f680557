/**
 * Documents of the ZooKeeper commands of `mesh --json`: the schemas that its users can rely on.
 */
import Type, { type Static } from 'typebox';
import { Count, Nullable } from './schema-parts.ts';

/**
 * ZooKeeper's metadata of a node. Transaction ids and session ids have 64 bits, so they are decimal
 * text.
 */
export const ZkStat = Type.Object({
  czxid: Type.String({ description: 'Transaction that created the node.' }),
  mzxid: Type.String({ description: 'Transaction that last changed its data.' }),
  pzxid: Type.String({ description: 'Transaction that last changed its children.' }),
  createdAt: Type.String({ description: 'ISO 8601, by the clock of the server.' }),
  modifiedAt: Type.String(),
  version: Count,
  childrenVersion: Type.Integer(),
  aclVersion: Count,
  ephemeralOwner: Nullable(
    Type.String({ description: 'Session that owns the node; null for a persistent node.' }),
  ),
  dataBytes: Count,
  children: Count,
});
export type ZkStat = Static<typeof ZkStat>;

/** Data of a node: `data` is text, hexadecimal digits or a JSON value. */
const zkData = {
  format: Type.Union([Type.Literal('text'), Type.Literal('json'), Type.Literal('hex')]),
  data: Type.Unknown(),
};

/** `mesh zk get --json` */
export const ZkNodeDocument = Type.Object({ path: Type.String(), ...zkData, stat: ZkStat });
export type ZkNodeDocument = Static<typeof ZkNodeDocument>;

/** The document of `mesh zk stat --json`. `acl` is null if the caller may not read it. */
export const ZkStatDocument = Type.Object({
  path: Type.String(),
  stat: ZkStat,
  acl: Nullable(
    Type.Array(
      Type.Object({ scheme: Type.String(), id: Type.String(), permissions: Type.Array(Type.String()) }),
    ),
  ),
});
export type ZkStatDocument = Static<typeof ZkStatDocument>;

/** `mesh zk tree --json`: parents before children. */
export const ZkTreeDocument = Type.Object({
  path: Type.String(),
  nodes: Type.Array(
    Type.Object({
      path: Type.String(),
      version: Nullable(Count),
      dataBytes: Nullable(Count),
      children: Nullable(
        Type.Integer({ minimum: 0, description: 'Number of children; null if they may not be read.' }),
      ),
      ephemeralOwner: Nullable(Type.String()),
    }),
  ),
  complete: Type.Boolean({ description: 'False if the limit of depth or number left nodes out.' }),
});
export type ZkTreeDocument = Static<typeof ZkTreeDocument>;

/** `mesh zk create|set|delete --json` */
export const ZkChangeDocument = Type.Object({
  action: Type.Union([Type.Literal('create'), Type.Literal('set'), Type.Literal('delete')]),
  path: Type.String({ description: 'Path as the server completed it.' }),
  version: Nullable(
    Type.Integer({ minimum: 0, description: 'Version of its data now; null if the node is gone.' }),
  ),
  nodes: Type.Integer({ minimum: 0, description: 'Number of nodes that were created, set or deleted.' }),
});
export type ZkChangeDocument = Static<typeof ZkChangeDocument>;

/**
 * One line of `mesh zk watch --json`: the state after an event. The first line is `absent` or
 * `present`.
 */
export const ZkEventDocument = Type.Object({
  at: Type.String(),
  event: Type.Union([
    Type.Literal('absent'),
    Type.Literal('present'),
    Type.Literal('created'),
    Type.Literal('changed'),
    Type.Literal('deleted'),
    Type.Literal('children'),
  ]),
  path: Type.String(),
  version: Nullable(Count),
  format: Nullable(zkData.format),
  data: Type.Unknown({ description: 'Data of the node; null if it does not exist.' }),
  children: Nullable(Type.Array(Type.String())),
});
export type ZkEventDocument = Static<typeof ZkEventDocument>;

/**
 * The document of `mesh zk members --json`: the members that have listed themselves in ZooKeeper. A
 * dead process disappears when its session ends.
 */
export const ZkMembersDocument = Type.Object({
  members: Type.Array(
    Type.Object({
      group: Type.String({ description: '`analytics`, or the name of a service.' }),
      id: Type.String(),
      address: Nullable(Type.String()),
      version: Nullable(Type.String()),
      flavour: Nullable(Type.String()),
      fit: Nullable(Type.Boolean({ description: 'Fitness; null in groups that do not publish it.' })),
      leads: Nullable(Type.Integer({ description: 'Epoch under which it coordinates.' })),
      session: Type.String({ description: 'Session; the listing ends with it.' }),
      joinedAt: Type.String({ description: 'ISO 8601, by the clock of the server.' }),
    }),
  ),
});
export type ZkMembersDocument = Static<typeof ZkMembersDocument>;

/**
 * `mesh zk kafka --json`: what Kafka keeps in ZooKeeper. With `--watch` one such line for each
 * change.
 */
export const ZkKafkaDocument = Type.Object({
  at: Type.String(),
  clusterId: Nullable(Type.String()),
  controller: Nullable(
    Type.Integer({
      description: 'Id of the controlling broker; null between two controllers, and without brokers.',
    }),
  ),
  controllerEpoch: Nullable(Count),
  brokers: Type.Array(
    Type.Object({
      id: Type.Integer(),
      address: Nullable(Type.String()),
      session: Type.String({ description: 'Session; the registration ends with it.' }),
      epoch: Type.String({ description: 'Transaction that registered the broker.' }),
    }),
  ),
  topics: Type.Array(
    Type.Object({
      name: Type.String(),
      partitions: Type.Array(
        Type.Object({
          partition: Count,
          replicas: Type.Array(Type.Integer()),
          leader: Nullable(
            Type.Integer({
              description: 'Id of the leader; null if no broker leads, or the state does not exist yet.',
            }),
          ),
          leaderEpoch: Nullable(Count),
          inSync: Type.Array(Type.Integer()),
          controllerEpoch: Nullable(Count),
          leaderAlive: Type.Boolean({ description: 'Whether the leader is among the brokers.' }),
          underReplicated: Type.Boolean(),
        }),
      ),
    }),
  ),
  changes: Type.Array(Type.String(), {
    description: 'Changes since the previous document, in words; empty in the first one.',
  }),
});
export type ZkKafkaDocument = Static<typeof ZkKafkaDocument>;
