/** The metadata of a member of the election's group, and the paths where it is stored. */
import Type, { type Static } from 'typebox';
import Value from 'typebox/value';

const AboutMember = Type.Object({
  /** Base URL of the node's HTTP server. */
  url: Type.Optional(Type.String()),
  version: Type.Optional(Type.String()),
  /** Kind of the node and its election strategy, such as `analytics/bully`. */
  flavour: Type.Optional(Type.String()),
});
export type AboutMember = Static<typeof AboutMember>;

const ElectionMember = Type.Intersect([
  AboutMember,
  Type.Object({
    fit: Type.Boolean(),
    leads: Type.Union([Type.Integer({ minimum: 1 }), Type.Null()]),
  }),
]);
export type ElectionMember = Static<typeof ElectionMember>;

/**
 * Parses a member's metadata.
 * @throws if no member has written it; such a node is left out
 */
export function parseMember(metadata: unknown): ElectionMember {
  return Value.Parse(ElectionMember, metadata);
}

/** The node below which each member of the group at `path` has a node of its own. */
export function membersPath(path: string): string {
  return `${path}/members`;
}

/** The node below which the candidates queue. */
export function queuePath(path: string): string {
  return `${path}/election`;
}

/**
 * The node that holds the epoch that a coordinator released last, in a graceful stop or hand-over.
 */
export function releasedPath(path: string): string {
  return `${path}/given-back`;
}
