/** What the log of accepted messages offers to the rest of the broker. */
import type { Group, GroupKey, GroupMessage } from './group.ts';
import type { Operation, Table } from './ports.ts';

/** The kind of a group, which is the name of its table. */
export type GroupTable = Extract<Table, 'drain' | 'other'>;

/** A message that a group will hold, and how many session queues will refer to it. */
export interface LogMessage extends GroupMessage {
  references: number;
}

/** A group of a transaction that is being composed. */
export interface PreparedGroup {
  table: GroupTable;
  group: Group;
}

/** The accepted messages, in the order of their log ids. */
export interface MessageLog {
  /** UUID of this store, 16 bytes; a store that was wiped gets another one. */
  readonly uuid: Buffer;
  /** I6: number of messages for the drain session made durable since the store was created. */
  readonly accepted: number;
  /**
   * I6: number of messages in the store that the drain session has not acknowledged, counted from
   * the records.
   */
  readonly buffered: number;
  /** Size of the buffered messages' groups in bytes. */
  readonly bufferedBytes: number;
  /** Size in bytes of the groups that a session still needs, the drain session or another one. */
  readonly storedBytes: number;
  /**
   * Size in bytes of the groups that the drain session does not need, only other sessions do: those
   * of other topics, and those that it has acknowledged.
   */
  readonly sessionBytes: number;
  /** Size in bytes of the acknowledged groups that are kept for a database that is behind. */
  readonly keptBytes: number;
  /** Log id up to which messages may have been sent before this process started. */
  readonly lastLogIdAtStart: number;
  /** Log id up to which the drain session has acknowledged messages. */
  readonly drainedLogId: number;
  /** Log id after which every message is there, acknowledged or not. */
  readonly keptAfterLogId: number;
  /** Returns the next log id; no log id is used twice, also after a restart. */
  allocate(): number;
  /**
   * Puts messages of one table into groups, and appends the operations that store them to `into`.
   */
  prepare(table: GroupTable, messages: readonly LogMessage[], into: Operation[]): PreparedGroup[];
  /** Operations that store the counters; part of each transaction that stores a group. */
  counters(): Operation[];
  /** Counts groups that have become durable. */
  committed(groups: readonly PreparedGroup[]): void;
  /** Releases groups for delivery, once the PUBACKs of their publishers are under way. */
  deliverable(groups: readonly PreparedGroup[]): void;
  /**
   * The first deliverable group for the drain session after the group whose first log id is
   * `after`; undefined starts with the first group that is not acknowledged.
   */
  nextDrainGroup(after: number | undefined): Group | undefined;
  /** Reads a group by its key, for a session queue. */
  read(table: GroupTable, key: Buffer): Group | undefined;
  /**
   * Records that the drain session has acknowledged everything up to `logId`: `count` messages,
   * with the last message of each of the `finished` groups.
   */
  drained(logId: number, count: number, finished: readonly GroupKey[]): void;
  /**
   * Puts the acknowledged messages after `logId` back into the buffer, as far as they are kept:
   * they were lost with a database that was restored (I1). They count as buffered again, as the
   * database no longer counts them (I6). Resolves when that is durable.
   */
  sendAgain(logId: number): Promise<void>;
  /** Removes the kept groups that are beyond the limits. */
  expireKept(): void;
  /** Removes all kept groups, because the disk is full. */
  giveUpKept(): void;
  /**
   * Operations that take `count` references of session queues from a group, and remove the group if
   * nothing needs it any more.
   */
  unreference(table: GroupTable, key: Buffer, count: number): Operation[];
  /** Time at which the oldest buffered message came in, Unix ms; null without one. */
  oldestReceivedAtMs(): number | null;
  /** Set by the composition; called whenever space was freed. */
  onFreed: () => void;
}
