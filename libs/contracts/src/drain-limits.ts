/**
 * The limits of a batch of the drain: their bounds, the document that changes them while the nodes
 * run, and the view of one node.
 */
import Type, { type Static } from 'typebox';
import { Nullable } from './schema-parts.ts';

/** The bounds apply to a node's settings and to the document alike. */
export const drainLimitBounds = {
  batchRowsMax: { minimum: 1, maximum: 20_000, description: 'Maximum number of rows of one batch.' },
  batchBytesMax: {
    minimum: 1024,
    maximum: 64 * 1024 * 1024,
    description: 'Maximum payload of one batch, in bytes.',
  },
  batchLingerMs: { minimum: 0, maximum: 10_000, description: 'Time for which a batch waits for more rows.' },
} as const;

/** The names of the limits, in the order in which they are shown. */
export const drainLimitNames = ['batchRowsMax', 'batchBytesMax', 'batchLingerMs'] as const;
export type DrainLimitName = (typeof drainLimitNames)[number];

/** The limits that a node works with. */
export type DrainLimits = Record<DrainLimitName, number>;

/**
 * The document in ZooKeeper. A limit that it does not name keeps each node's static value; an
 * unknown name makes the document invalid.
 */
export const DrainLimitsDocument = Type.Object(
  {
    batchRowsMax: Type.Optional(Type.Integer(drainLimitBounds.batchRowsMax)),
    batchBytesMax: Type.Optional(Type.Integer(drainLimitBounds.batchBytesMax)),
    batchLingerMs: Type.Optional(Type.Integer(drainLimitBounds.batchLingerMs)),
  },
  { additionalProperties: false },
);
export type DrainLimitsDocument = Static<typeof DrainLimitsDocument>;

/** `GET /v1/drain-limits` of any analytics node. */
export const DrainLimitsView = Type.Object({
  limits: Type.Object({
    batchRowsMax: Type.Integer(),
    batchBytesMax: Type.Integer(),
    batchLingerMs: Type.Integer(),
  }),
  source: Type.Union([Type.Literal('static'), Type.Literal('zookeeper')], {
    description: '`static`: this node has no ZooKeeper, or no document that it may trust.',
  }),
  version: Nullable(
    Type.Integer({ minimum: 0, description: 'Version of the document; null for static limits.' }),
  ),
  fresh: Type.Boolean({ description: 'False while the node could not see a newer document.' }),
  refused: Nullable(
    Type.String({
      description: 'Why the newest document was refused; the limits are those of an older one.',
    }),
  ),
});
export type DrainLimitsView = Static<typeof DrainLimitsView>;

/**
 * The operator's user name at ZooKeeper; the password is the operator's token. Only this user may
 * write the document.
 */
export const operatorUser = 'operator';

/** The path of the document, below the path of the analytics group. */
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

/**
 * The document of `mesh config set --json`. Times run from before the write until the node works
 * with the document.
 */
export const ConfigChangeDocument = Type.Object({
  path: Type.String(),
  published: DrainLimitsDocument,
  version: Type.Integer(),
  converged: Type.Boolean(),
  convergedMs: Nullable(
    Type.Number({ description: 'Time of the last node; null if a node has not converged.' }),
  ),
  nodes: Type.Array(
    Type.Object({
      name: Type.String(),
      convergedMs: Nullable(Type.Number()),
      refused: Nullable(Type.String()),
    }),
  ),
});
export type ConfigChangeDocument = Static<typeof ConfigChangeDocument>;
