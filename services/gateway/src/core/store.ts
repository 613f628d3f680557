/**
 * The port to the embedded engine: ordered tables of bytes and one kind of write, an atomic commit. Everything that the gateway
 * keeps is expressed in it, so that a test can hold or fail the disk at one place.
 */

/** Tables of the store; keys are compared byte by byte. */
export const tables = [
  /** Counters and the log's UUID. */
  'meta',
  /** Commit groups of messages for the drain session. */
  'drain',
  /** Commit groups of messages that only other persistent sessions want. */
  'other',
  /** How many queue entries refer to a group. */
  'refs',
  /** Queues of persistent sessions, in order. */
  'queue',
  /** Packet ids given to queue entries. */
  'inflight',
  'subscriptions',
  'retained',
  'wills',
  /** QoS 2 publishes whose PUBREL has not come. */
  'incoming',
] as const;
export type Table = (typeof tables)[number];

/** One change of a commit; a missing value removes the key. */
export interface Operation {
  table: Table;
  key: Buffer;
  value?: Buffer;
}

/** A commit on its way. Both promises reject with the same MeshError if nothing was written. */
export interface Commit {
  /** Readers see it; a crash of the machine may still undo it. */
  applied: Promise<void>;
  /** It is on the disk (fsync): only now may anybody be told (I1). */
  durable: Promise<void>;
}

/** Bounds of a range: from `start` (inclusive) up to `end` (exclusive). */
export interface Range {
  start?: Buffer;
  end?: Buffer;
  /** From the highest key down; `start` and `end` keep their meaning. */
  reverse?: boolean;
  limit?: number;
}

export interface Store {
  /** The value as of the last applied commit; the caller may keep it. */
  get(table: Table, key: Buffer): Buffer | undefined;
  /** Keys and values in key order, as of the last applied commit. Do not await while iterating. */
  range(table: Table, range?: Range): Iterable<{ key: Buffer; value: Buffer }>;
  /** Keys only, without reading values. */
  keys(table: Table, range?: Range): Iterable<Buffer>;
  /**
   * All of the operations or none, in order. Commits are applied in the order of the calls. Values must not be changed
   * afterwards. Rejects with MeshError `store.full` (no space left) or `store.failed`, both retriable.
   */
  commit(operations: readonly Operation[]): Commit;
  close(): Promise<void>;
}
