/** The metadata of group members that need nothing more specific. */

/** Describes a process: which program runs there, and how to reach it. */
export interface MemberMetadata {
  /** Version of the program, such as `0.1.0`. */
  version: string;
  /** Address of the process: `http://127.0.0.1:8080`, or `host:port`. */
  address: string;
  /** Kind of the member among those with different abilities, such as `analytics/bully`. */
  flavour: string;
}

/**
 * Parses metadata for `GroupMembership`; ignores unknown fields.
 * @throws TypeError if one of the three fields is missing or not text
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
