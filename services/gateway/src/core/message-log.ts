/**
 * The log of accepted messages over the store: numbers messages, keeps I6's `accepted` and `buffered`, hands groups to the drain
 * session, and forgets a group when nobody needs it any more.
 */
import { randomBytes } from 'node:crypto';
import { codeOf } from '@thermomesh/runtime';
import {
  buildGroup,
  logIdAt,
  messageBytes,
  readGroup,
  readGroupKey,
  receivedAtOf,
  type DrainFrame,
  type Group,
  type GroupKey,
  type GroupMessage,
} from './group.ts';
import type { Committer } from './committer.ts';
import { numberKey, numberValue, readNumber } from './keys.ts';
import type { Operation, Store, Table } from './store.ts';

const uuidKey = Buffer.from('log');
const nextLogIdKey = Buffer.from('nextLogId');
const acceptedKey = Buffer.from('accepted');
const drainedKey = Buffer.from('drained');

/** Which kind of group: the name of its table. */
export type GroupTable = Extract<Table, 'drain' | 'other'>;

/** Largest group, in bytes, unless one message alone is larger: what a removal frees at once. */
const groupBytesMax = 256 * 1024;

/** Freshly committed groups that are kept for the drain session, so that live traffic needs no reads. */
const tailBytesMax = 16 * 1024 * 1024;

/** A message that a group will hold, and how many session queues will refer to it. */
export interface LogMessage extends GroupMessage {
  references: number;
}

/** What has been put together for one transaction. */
export interface PreparedGroup {
  table: GroupTable;
  group: Group;
}

export interface MessageLog {
  /** The UUID of this store, 16 bytes: a wiped store gets another one. */
  readonly uuid: Buffer;
  /** I6: messages for the drain session made durable, ever. */
  readonly accepted: number;
  /** I6: messages in the store that the drain session has not acknowledged; counted from the records. */
  readonly buffered: number;
  /** Size of those records in bytes. */
  readonly bufferedBytes: number;
  /** Size of all groups, those of other sessions included. */
  readonly storedBytes: number;
  /** Everything up to here may have been sent before this process started. */
  readonly lastLogIdAtStart: number;
  /** Everything up to here was acknowledged by the drain session. */
  readonly drainedLogId: number;
  /** The next number; never given twice, over restarts too. */
  allocate(): number;
  /** Puts messages of one table into groups and returns the operations that store them. */
  prepare(table: GroupTable, messages: readonly LogMessage[], into: Operation[]): PreparedGroup[];
  /** The counters as of now; part of each transaction that prepared something. */
  counters(): Operation[];
  /** The groups are durable. */
  committed(groups: readonly PreparedGroup[]): void;
  /** The groups may be delivered: the PUBACKs of their publishers are under way. */
  deliverable(groups: readonly PreparedGroup[]): void;
  /** The first deliverable group for the drain session behind `after` (a first log id); from its head if undefined. */
  nextDrainGroup(after: number | undefined): Group | undefined;
  /** A group by its key, for a session queue. */
  read(table: GroupTable, key: Buffer): Group | undefined;
  /** The drain session has acknowledged all up to `logId`: `count` messages, and these groups as a whole. */
  drained(logId: number, count: number, finished: readonly GroupKey[]): void;
  /** A session queue has let go of messages: operations that count down and remove what is no longer needed. */
  unreference(table: GroupTable, key: Buffer, count: number): Operation[];
  /** When the oldest buffered message came in, Unix ms. */
  oldestReceivedAtMs(): number | null;
  /** Called whenever space was freed. */
  onFreed: () => void;
}

/** Opens the log; a new store gets its UUID here. Scans the keys of all groups, not their values. */
export async function openMessageLog(store: Store, committer: Committer): Promise<MessageLog> {
  const uuid = await openUuid(store);
  const drainedLogId = readCounter(store, drainedKey, 0);
  const references = readReferences(store);
  const log = new Log(store, committer, uuid, drainedLogId, references);
  log.scan();
  return log;
}

async function openUuid(store: Store): Promise<Buffer> {
  const known = store.get('meta', uuidKey);
  if (known !== undefined) return known;
  const uuid = randomBytes(16);
  // Version 4, variant 1 (RFC 9562).
  uuid[6] = (uuid[6]! & 0x0f) | 0x40;
  uuid[8] = (uuid[8]! & 0x3f) | 0x80;
  await store.commit([{ table: 'meta', key: uuidKey, value: uuid }]).durable;
  return uuid;
}

function readCounter(store: Store, key: Buffer, initial: number): number {
  const value = store.get('meta', key);
  return value === undefined ? initial : readNumber(value);
}

/** Counts of references by first log id. */
function readReferences(store: Store): Map<number, number> {
  const references = new Map<number, number>();
  for (const { key, value } of store.range('refs')) references.set(readNumber(key), readNumber(value));
  return references;
}

class Log implements MessageLog {
  readonly uuid: Buffer;
  readonly lastLogIdAtStart: number;
  drainedLogId: number;
  accepted: number;
  buffered = 0;
  bufferedBytes = 0;
  storedBytes = 0;
  onFreed: () => void = () => undefined;
  readonly #store: Store;
  readonly #committer: Committer;
  readonly #references: Map<number, number>;
  /** Groups that the drain session has done with but session queues still refer to, by first log id. */
  readonly #kept = new Set<number>();
  #nextLogId: number;
  /** The last message for the drain session that was put into a group, ever. */
  #lastDrainLogId: number;
  /** `accepted` with what is prepared but not yet durable. */
  #prepared: number;
  #deliverableLogId: number;
  #tail: Group[] = [];
  #tailBytes = 0;
  /** First log id of the last group that is not in the tail; all behind it are. */
  #beforeTail: number;

  constructor(
    store: Store,
    committer: Committer,
    uuid: Buffer,
    drainedLogId: number,
    references: Map<number, number>,
  ) {
    this.#store = store;
    this.#committer = committer;
    this.uuid = uuid;
    this.drainedLogId = drainedLogId;
    this.#lastDrainLogId = drainedLogId;
    this.#references = references;
    this.#nextLogId = readCounter(store, nextLogIdKey, 1);
    this.accepted = readCounter(store, acceptedKey, 0);
    this.#prepared = this.accepted;
    this.lastLogIdAtStart = this.#nextLogId - 1;
    this.#deliverableLogId = this.lastLogIdAtStart;
    this.#beforeTail = this.lastLogIdAtStart;
  }

  /** Counts what stands in the store. */
  scan(): void {
    for (const { key, value } of this.#store.range('drain', { reverse: true, limit: 1 })) {
      this.#lastDrainLogId = Math.max(this.#lastDrainLogId, readGroup(key, value).lastLogId);
    }
    for (const key of this.#store.keys('other')) this.storedBytes += readGroupKey(key).bytes;
    for (const key of this.#store.keys('drain')) {
      const head = readGroupKey(key);
      this.storedBytes += head.bytes;
      const waiting = head.firstLogId > this.drainedLogId ? head.count : this.#waitingIn(head);
      this.buffered += waiting;
      if (waiting > 0) this.bufferedBytes += head.bytes;
      else this.#kept.add(head.firstLogId);
    }
  }

  /** Messages behind the drained mark in a group that begins before it. */
  #waitingIn({ key, count }: GroupKey): number {
    const group = readGroup(key, this.#store.get('drain', key)!);
    let waiting = 0;
    for (let index = count - 1; index >= 0 && logIdAt(group, index) > this.drainedLogId; index--) waiting++;
    return waiting;
  }

  allocate(): number {
    return this.#nextLogId++;
  }

  prepare(table: GroupTable, messages: readonly LogMessage[], into: Operation[]): PreparedGroup[] {
    const prepared: PreparedGroup[] = [];
    for (const part of partsOf(messages)) {
      const group = buildGroup(part, table === 'drain' ? this.#frame() : undefined);
      into.push({ table, key: group.key, value: group.value });
      const references = part.reduce((sum, message) => sum + message.references, 0);
      if (references > 0) {
        this.#references.set(group.firstLogId, references);
        into.push({ table: 'refs', key: numberKey(group.firstLogId), value: numberValue(references) });
      }
      prepared.push({ table, group });
      if (table === 'drain') {
        this.#prepared += group.count;
        this.#lastDrainLogId = group.lastLogId;
      }
      this.storedBytes += group.bytes;
    }
    return prepared;
  }

  /** A coordinator that was sent everything in order sees each message name the one before it. */
  #frame(): DrainFrame {
    return { log: this.uuid, previousLogId: this.#lastDrainLogId };
  }

  counters(): Operation[] {
    return [
      { table: 'meta', key: nextLogIdKey, value: numberValue(this.#nextLogId) },
      { table: 'meta', key: acceptedKey, value: numberValue(this.#prepared) },
    ];
  }

  committed(groups: readonly PreparedGroup[]): void {
    for (const { table, group } of groups) {
      if (table !== 'drain') continue;
      this.accepted += group.count;
      this.buffered += group.count;
      this.bufferedBytes += group.bytes;
    }
  }

  deliverable(groups: readonly PreparedGroup[]): void {
    for (const { table, group } of groups) {
      if (table !== 'drain') continue;
      this.#deliverableLogId = group.lastLogId;
      this.#tail.push(group);
      this.#tailBytes += group.bytes;
    }
    let evicted = 0;
    while (this.#tailBytes > tailBytesMax && evicted < this.#tail.length) {
      const group = this.#tail[evicted++]!;
      this.#tailBytes -= group.bytes;
      this.#beforeTail = group.firstLogId;
    }
    if (evicted > 0) this.#tail.splice(0, evicted);
  }

  nextDrainGroup(after: number | undefined): Group | undefined {
    const behind = after ?? this.#headBefore();
    if (behind >= this.#beforeTail) return this.#fromTail(behind);
    for (const { key, value } of this.#store.range('drain', { start: numberKey(behind + 1), limit: 1 })) {
      const group = readGroup(key, value);
      return group.lastLogId <= this.#deliverableLogId ? group : undefined;
    }
    return undefined;
  }

  #fromTail(behind: number): Group | undefined {
    let low = 0;
    let high = this.#tail.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (this.#tail[middle]!.firstLogId > behind) high = middle;
      else low = middle + 1;
    }
    return this.#tail[low];
  }

  /** The first log id after which the first unacknowledged message's group begins. */
  #headBefore(): number {
    const end = numberKey(this.drainedLogId + 1);
    for (const { key, value } of this.#store.range('drain', { end, reverse: true, limit: 1 })) {
      const group = readGroup(key, value);
      if (group.lastLogId > this.drainedLogId) return group.firstLogId - 1;
    }
    return this.drainedLogId;
  }

  read(table: GroupTable, key: Buffer): Group | undefined {
    const value = this.#store.get(table, key);
    return value === undefined ? undefined : readGroup(key, value);
  }

  drained(logId: number, count: number, finished: readonly GroupKey[]): void {
    const removals: Operation[] = [{ table: 'meta', key: drainedKey, value: numberValue(logId) }];
    this.drainedLogId = logId;
    this.buffered -= count;
    for (const group of finished) {
      this.bufferedBytes -= group.bytes;
      if (this.#references.has(group.firstLogId)) this.#kept.add(group.firstLogId);
      else removals.push(...this.#remove('drain', group));
    }
    this.#dropTail();
    // Nobody waits: a message that comes back after a crash is recognised by the coordinator's high-water mark.
    this.#committer.submit('housekeeping', () => removals).catch(ignoreClosed);
    setImmediate(this.onFreed);
  }

  #dropTail(): void {
    let done = 0;
    while (done < this.#tail.length && this.#tail[done]!.lastLogId <= this.drainedLogId) {
      this.#tailBytes -= this.#tail[done]!.bytes;
      this.#beforeTail = this.#tail[done]!.firstLogId;
      done++;
    }
    if (done > 0) this.#tail.splice(0, done);
  }

  unreference(table: GroupTable, key: Buffer, count: number): Operation[] {
    const group = readGroupKey(key);
    const left = (this.#references.get(group.firstLogId) ?? 0) - count;
    const refs = numberKey(group.firstLogId);
    if (left > 0) {
      this.#references.set(group.firstLogId, left);
      return [{ table: 'refs', key: refs, value: numberValue(left) }];
    }
    this.#references.delete(group.firstLogId);
    const needed = table === 'drain' && !this.#kept.delete(group.firstLogId);
    return [{ table: 'refs', key: refs }, ...(needed ? [] : this.#remove(table, group))];
  }

  #remove(table: GroupTable, group: GroupKey): Operation[] {
    this.storedBytes -= group.bytes;
    setImmediate(this.onFreed);
    return [{ table, key: group.key }];
  }

  oldestReceivedAtMs(): number | null {
    const group = this.nextDrainGroup(undefined);
    return group === undefined ? null : receivedAtOf(group, this.drainedLogId);
  }
}

/** Cuts messages into groups of at most {@link groupBytesMax}. */
function partsOf(messages: readonly LogMessage[]): LogMessage[][] {
  const parts: LogMessage[][] = [];
  let part: LogMessage[] = [];
  let bytes = 0;
  for (const message of messages) {
    const size = messageBytes(message.topic, message.payload.length, true);
    if (part.length > 0 && bytes + size > groupBytesMax) {
      parts.push(part);
      part = [];
      bytes = 0;
    }
    part.push(message);
    bytes += size;
  }
  if (part.length > 0) parts.push(part);
  return parts;
}

/** A removal that the end of the process cut off is done again after the next start. */
function ignoreClosed(error: unknown): void {
  if (codeOf(error) !== 'store.closed') throw error;
}
