/** What a batch of the drain is cut by: the bounds, the document that changes it while the nodes run, and what a node says of it. */
import Type, { type Static } from 'typebox';

/** For the settings of a node and for the document alike: what the one refuses the other refuses. */
export const drainLimitBounds = {
  batchRowsMax: { minimum: 1, maximum: 20_000, description: 'rows of one batch' },
  batchBytesMax: { minimum: 1024, maximum: 64 * 1024 * 1024, description: 'payload bytes of one batch' },
  batchLingerMs: { minimum: 0, maximum: 10_000, description: 'how long a batch waits for more rows' },
} as const;

/** The names of the limits, in the order in which they are shown. */
export const drainLimitNames = ['batchRowsMax', 'batchBytesMax', 'batchLingerMs'] as const;
export type DrainLimitName = (typeof drainLimitNames)[number];

/** What every node works with, all three of them. */
export type DrainLimits = Record<DrainLimitName, number>;

/** The document in ZooKeeper. What it does not name keeps the static value of each node; a name that is none is a fault, not a guess. */
export const DrainLimitsDocument = Type.Object(
  {
    batchRowsMax: Type.Optional(Type.Integer(drainLimitBounds.batchRowsMax)),
    batchBytesMax: Type.Optional(Type.Integer(drainLimitBounds.batchBytesMax)),
    batchLingerMs: Type.Optional(Type.Integer(drainLimitBounds.batchLingerMs)),
  },
  { additionalProperties: false },
);
export type DrainLimitsDocument = Static<typeof DrainLimitsDocument>;

const Nullable = <T extends Type.TSchema>(schema: T) => Type.Union([schema, Type.Null()]);

/** `GET /v1/drain-limits` of any analytics node. */
export const DrainLimitsView = Type.Object({
  limits: Type.Object({
    batchRowsMax: Type.Integer(),
    batchBytesMax: Type.Integer(),
    batchLingerMs: Type.Integer(),
  }),
  source: Type.Union([Type.Literal('static'), Type.Literal('zookeeper')], {
    description: 'static: this node has no ZooKeeper, or no document that it may trust',
  }),
  version: Nullable(Type.Integer({ minimum: 0, description: 'of the document; null for static ones' })),
  fresh: Type.Boolean({ description: 'false while a newer document could not be seen' }),
  refused: Nullable(
    Type.String({ description: 'why the newest document was refused; the limits are older' }),
  ),
});
export type DrainLimitsView = Static<typeof DrainLimitsView>;

/** The user that the mesh's operator is to ZooKeeper; the password is the operator's token. Only this one writes the document. */
export const operatorUser = 'operator';

/** The node of the document, below the one where the analytics nodes keep everything. */
export function drainLimitsPath(groupPath: string): string {
  return `${groupPath}/drain-limits`;
}

/** `mesh config get --json` */
export const ConfigDocument = Type.Object({
  path: Type.String(),
  published: Nullable(DrainLimitsDocument),
  version: Nullable(Type.Integer()),
  nodes: Type.Array(Type.Object({ name: Type.String(), drain: Nullable(DrainLimitsView) })),
});
export type ConfigDocument = Static<typeof ConfigDocument>;

/** `mesh config set --json`; times are from before the write until the node was seen to work with it. */
export const ConfigChangeDocument = Type.Object({
  path: Type.String(),
  published: DrainLimitsDocument,
  version: Type.Integer(),
  converged: Type.Boolean(),
  convergedMs: Nullable(Type.Number({ description: 'of the last node; null if one did not' })),
  nodes: Type.Array(
    Type.Object({
      name: Type.String(),
      convergedMs: Nullable(Type.Number()),
      refused: Nullable(Type.String()),
    }),
  ),
});
export type ConfigChangeDocument = Static<typeof ConfigChangeDocument>;
