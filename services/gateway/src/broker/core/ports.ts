/**
 * The port to the embedded engine: ordered tables of bytes, and one kind of write, an atomic
 * commit. The gateway stores everything through this port, so tests can delay or fail the disk in
 * one place.
 */

/** Tables of the store; keys are compared byte by byte. */
export const tables = [
  /** Counters and the log's UUID. */
  'meta',
  /** Commit groups of messages for the drain session. */
  'drain',
  /** Commit groups of messages that only other persistent sessions get. */
  'other',
  /** Number of queue entries that refer to a group. */
  'refs',
  /** Queues of persistent sessions, in delivery order. */
  'queue',
  /** Packet ids given to queue entries. */
  'inflight',
  'subscriptions',
  /** When the client of each session that is away was last here. */
  'away',
  'retained',
  'wills',
  /** QoS 2 publishes whose PUBREL has not come. */
  'incoming',
] as const;
export type Table = (typeof tables)[number];

/** Maximum size of a key, in bytes: that of LMDB. A longer or an empty key cannot be stored. */
export const keyBytesMax = 1978;

/** One change of a commit; a missing value removes the key. */
export interface Operation {
  table: Table;
  key: Buffer;
  value?: Buffer;
}

/** True if a store can hold the key of the operation. */
export function isStorable({ key }: Operation): boolean {
  return key.length > 0 && key.length <= keyBytesMax;
}

/** A commit that was begun. Both promises reject with the same MeshError if nothing was written. */
export interface Commit {
  /** Resolves when readers see the commit; a crash of the machine may still undo it. */
  applied: Promise<void>;
  /** Resolves after the fsync; only then may the gateway acknowledge a message (I1). */
  durable: Promise<void>;
}

/** A range of keys from `start` (inclusive) up to `end` (exclusive). */
export interface Range {
  start?: Buffer;
  end?: Buffer;
  /** Iterates from the highest key down; `start` and `end` keep their meaning. */
  reverse?: boolean;
  limit?: number;
}

/** An ordered key-value store with atomic, durable commits. */
export interface Store {
  /** The value after the last applied commit; the caller may keep it. */
  get(table: Table, key: Buffer): Buffer | undefined;
  /** Keys and values in key order, after the last applied commit. Do not await while iterating. */
  range(table: Table, range?: Range): Iterable<{ key: Buffer; value: Buffer }>;
  /** Keys in key order; reads no values. */
  keys(table: Table, range?: Range): Iterable<Buffer>;
  /**
   * Applies all operations in their order, or none. Commits are applied in the order of the calls.
   * The caller must not change the values afterwards. The promises of the commit reject with
   * MeshError `store.full` (no space left) or `store.failed`, both retriable.
   */
  commit(operations: readonly Operation[]): Commit;
  close(): Promise<void>;
}
