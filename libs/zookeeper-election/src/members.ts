/** What a member of the election's group says of itself, and where it says it. */
import Type, { type Static } from 'typebox';
import Value from 'typebox/value';

const AboutMember = Type.Object({
  /** Where its HTTP is. */
  url: Type.Optional(Type.String()),
  version: Type.Optional(Type.String()),
  /** Of what kind it is, and how it elects: `analytics/bully`, say. */
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

/** @throws on what no member has written; such a node is left out */
export function parseMember(metadata: unknown): ElectionMember {
  return Value.Parse(ElectionMember, metadata);
}

/** Below this node each member of the group at `path` has one of its own. */
export function membersPath(path: string): string {
  return `${path}/members`;
}

/** Below this node the candidates queue. */
export function queuePath(path: string): string {
  return `${path}/election`;
}

/** This node holds the epoch that was last given back in order. */
export function givenBackPath(path: string): string {
  return `${path}/given-back`;
}
