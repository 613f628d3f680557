/** What a member of a group says of itself, wherever nothing more special is needed. */

/** Of a process: who looks at the group learns what runs there, and where to ask it. */
export interface MemberMetadata {
  /** Of the program: `0.1.0`. */
  version: string;
  /** Where it answers: `http://127.0.0.1:8080`, or `host:port`. */
  address: string;
  /** What kind of member it is, among those that can do different things: `analytics/bully`, say. */
  flavour: string;
}

/**
 * For `parse` of `GroupMembership`: unknown fields are left out.
 * @throws TypeError if one of the three is missing or no text
 */
export function parseMemberMetadata(metadata: unknown): MemberMetadata {
  const given = (metadata ?? {}) as Partial<Record<keyof MemberMetadata, unknown>>;
  const text = (name: keyof MemberMetadata) => {
    const value = given[name];
    if (typeof value !== 'string' || value === '') throw new TypeError(`a member's ${name} is missing`);
    return value;
  };
  return { version: text('version'), address: text('address'), flavour: text('flavour') };
}
