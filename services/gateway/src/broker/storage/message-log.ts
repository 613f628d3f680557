/**
 * The log of accepted messages in the store. It numbers messages, counts `accepted` and `buffered`
 * of I6, gives groups to the drain session, keeps them a while for a database that is behind, and
 * removes a group when nothing needs it any more.
 */
import { randomBytes } from 'node:crypto';
import { codeOf } from '@thermomesh/runtime';
import {
  buildGroup,
  indexAfter,
  logIdAt,
  messageBytes,
  previousLogIdOf,
  readGroup,
  readGroupKey,
  receivedAtOf,
  type DrainFrame,
  type Group,
  type GroupKey,
} from '../core/group.ts';
import type { Committer } from './committer.ts';
import { KeptGroups, type KeptLimits } from '../core/kept-groups.ts';
import { numberKey, numberValue, readNumber } from '../core/keys.ts';
import type { GroupTable, LogMessage, MessageLog, PreparedGroup } from '../core/message-log.ts';
import type { Operation, Store } from '../core/ports.ts';
import { Tail } from '../core/tail.ts';

const uuidKey = Buffer.from('log');
const nextLogIdKey = Buffer.from('nextLogId');
const acceptedKey = Buffer.from('accepted');
const drainedKey = Buffer.from('drained');
/** First log id of the oldest group that is kept; everything acknowledged since is there. */
const keptFromKey = Buffer.from('keptFrom');

/**
 * Maximum size of a group in bytes, unless a single message is larger. Groups are removed whole.
 */
const groupBytesMax = 256 * 1024;

/** How long acknowledged groups are kept. */
export interface KeptOptions extends KeptLimits {
  /** A clock in milliseconds. */
  now: () => number;
}

const keepNothing: KeptOptions = { bytesMax: 0, keptMs: 0, now: () => 0 };

/**
 * Opens the log, and gives a new store its UUID. Reads the keys of all groups, not their values.
 */
export async function openMessageLog(
  store: Store,
  committer: Committer,
  kept = keepNothing,
): Promise<MessageLog> {
  const uuid = await openUuid(store);
  const drainedLogId = readCounter(store, drainedKey, 0);
  const references = readReferences(store);
  const messages = new StoredMessageLog(store, committer, uuid, drainedLogId, references, kept);
  messages.scan();
  return messages;
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

/** Number of references by first log id. */
function readReferences(store: Store): Map<number, number> {
  const references = new Map<number, number>();
  for (const { key, value } of store.range('refs')) references.set(readNumber(key), readNumber(value));
  return references;
}

class StoredMessageLog implements MessageLog {
  readonly uuid: Buffer;
  readonly lastLogIdAtStart: number;
  drainedLogId: number;
  accepted: number;
  buffered = 0;
  bufferedBytes = 0;
  storedBytes = 0;
  sessionBytes = 0;
  onFreed: () => void = () => undefined;
  readonly #store: Store;
  readonly #committer: Committer;
  readonly #references: Map<number, number>;
  /**
   * First log ids of groups that the drain session has acknowledged and session queues still need.
   */
  readonly #onlySessions = new Set<number>();
  readonly #kept: KeptGroups;
  /** What was read of the oldest kept group, so that looking at it again reads no disk. */
  #oldestKept = { firstLogId: -1, previousLogId: 0 };
  readonly #now: () => number;
  #nextLogId: number;
  /** Log id of the newest message for the drain session that was put into a group. */
  #lastDrainLogId: number;
  /** `accepted` plus the messages that are prepared but not yet durable. */
  #prepared: number;
  #deliverableLogId: number;
  readonly #tail: Tail;

  constructor(
    store: Store,
    committer: Committer,
    uuid: Buffer,
    drainedLogId: number,
    references: Map<number, number>,
    { now, ...limits }: KeptOptions,
  ) {
    this.#store = store;
    this.#kept = new KeptGroups(limits);
    this.#now = now;
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
    this.#tail = new Tail(this.lastLogIdAtStart);
  }

  /** Counts the records of the store. */
  scan(): void {
    for (const { key, value } of this.#store.range('drain', { reverse: true, limit: 1 })) {
      this.#lastDrainLogId = Math.max(this.#lastDrainLogId, readGroup(key, value).lastLogId);
    }
    for (const key of this.#store.keys('other')) this.sessionBytes += readGroupKey(key).bytes;
    this.storedBytes = this.sessionBytes;
    const keptFrom = readCounter(this.#store, keptFromKey, this.drainedLogId + 1);
    for (const key of this.#store.keys('drain')) {
      const head = readGroupKey(key);
      this.storedBytes += head.bytes;
      const waiting = head.firstLogId > this.drainedLogId ? head.count : this.#waitingIn(head);
      this.buffered += waiting;
      if (waiting > 0) this.bufferedBytes += head.bytes;
      else this.#finish(head, head.firstLogId >= keptFrom);
    }
    this.expireKept();
  }

  /** Number of unacknowledged messages in a group of which some may be acknowledged. */
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
      if (table === 'other') this.sessionBytes += group.bytes;
    }
    return prepared;
  }

  /** Each message names the one before it, so that a coordinator sees a gap. */
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
      this.#tail.add(group);
    }
  }

  nextDrainGroup(after: number | undefined): Group | undefined {
    const behind = after ?? this.#headBefore();
    if (this.#tail.hasAllAfter(behind)) return this.#tail.after(behind);
    for (const { key, value } of this.#store.range('drain', { start: numberKey(behind + 1), limit: 1 })) {
      const group = readGroup(key, value);
      return group.lastLogId <= this.#deliverableLogId ? group : undefined;
    }
    return undefined;
  }

  /** A log id such that the group of the first unacknowledged message is the next one after it. */
  #headBefore(): number {
    const begun = this.#begun(this.drainedLogId);
    return begun === undefined ? this.drainedLogId : begun.firstLogId - 1;
  }

  /** The group with messages both up to `logId` and after it; undefined if there is none. */
  #begun(logId: number): Group | undefined {
    const end = numberKey(logId + 1);
    for (const { key, value } of this.#store.range('drain', { end, reverse: true, limit: 1 })) {
      const group = readGroup(key, value);
      if (group.lastLogId > logId) return group;
    }
    return undefined;
  }

  read(table: GroupTable, key: Buffer): Group | undefined {
    const value = this.#store.get(table, key);
    return value === undefined ? undefined : readGroup(key, value);
  }

  drained(logId: number, count: number, finished: readonly GroupKey[]): void {
    this.drainedLogId = logId;
    this.buffered -= count;
    for (const group of finished) {
      this.bufferedBytes -= group.bytes;
      this.#finish(group, true);
    }
    this.#tail.dropUpTo(logId);
    // While the disk is full nothing is kept: removals free the space that devices wait for.
    const isFull = this.#committer.state.state === 'full';
    const over = isFull ? this.#kept.clear() : this.#kept.expire(this.#now());
    void this.#writePosition(this.#removalsOf(over));
    setImmediate(this.onFreed);
  }

  /**
   * Counts a group that the drain session has acknowledged: it stays for the sessions that refer to
   * it, and for a database that is behind.
   */
  #finish(group: GroupKey, isKept: boolean): void {
    if (isKept) this.#kept.add(group, this.#now());
    if (this.#references.has(group.firstLogId)) {
      this.#onlySessions.add(group.firstLogId);
      this.sessionBytes += group.bytes;
    } else {
      this.storedBytes -= group.bytes;
    }
  }

  /** Stores up to where messages are acknowledged and from where they are kept. */
  async #writePosition(more: readonly Operation[]): Promise<void> {
    const keptFrom = this.#kept.oldest?.firstLogId ?? this.drainedLogId + 1;
    const operations: Operation[] = [
      { table: 'meta', key: drainedKey, value: numberValue(this.drainedLogId) },
      { table: 'meta', key: keptFromKey, value: numberValue(keptFrom) },
      ...more,
    ];
    // No caller waits for a removal: if a crash undoes it, the coordinator recognises the message
    // by its high-water mark.
    await this.#committer.submit('housekeeping', () => operations).catch(ignoreClosed);
  }

  #removalsOf(groups: readonly GroupKey[]): Operation[] {
    return groups
      .filter(({ firstLogId }) => !this.#onlySessions.has(firstLogId))
      .map(({ key }) => ({ table: 'drain', key }));
  }

  get keptBytes(): number {
    return this.#kept.bytes;
  }

  get keptAfterLogId(): number {
    const { oldest } = this.#kept;
    if (oldest !== undefined && oldest.firstLogId === this.#oldestKept.firstLogId)
      return this.#oldestKept.previousLogId;
    const first = oldest === undefined ? this.#begun(this.drainedLogId) : this.read('drain', oldest.key);
    if (first === undefined) return this.drainedLogId;
    this.#oldestKept = { firstLogId: first.firstLogId, previousLogId: previousLogIdOf(first) };
    return this.#oldestKept.previousLogId;
  }

  async sendAgain(logId: number): Promise<void> {
    const before = this.drainedLogId;
    const target = Math.max(logId, this.keptAfterLogId);
    if (target >= before) return;
    const begun = this.#begun(before);
    this.drainedLogId = target;
    if (begun !== undefined) this.buffered += indexAfter(begun, before) - indexAfter(begun, target);
    for (const group of this.#kept.takeAfter(target)) this.#unfinish(group, target);
    await this.#writePosition([]);
  }

  /** Counts a kept group as buffered again, unless all its messages are at or before `logId`. */
  #unfinish(group: GroupKey, logId: number): void {
    const waiting = group.firstLogId > logId ? group.count : this.#waitingIn(group);
    if (waiting === 0) return this.#kept.add(group, this.#now());
    this.buffered += waiting;
    this.bufferedBytes += group.bytes;
    if (this.#onlySessions.delete(group.firstLogId)) this.sessionBytes -= group.bytes;
    else this.storedBytes += group.bytes;
  }

  expireKept(): void {
    const expired = this.#kept.expire(this.#now());
    if (expired.length > 0) void this.#writePosition(this.#removalsOf(expired));
  }

  giveUpKept(): void {
    const groups = this.#kept.clear();
    if (groups.length > 0) void this.#writePosition(this.#removalsOf(groups));
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
    const needed = table === 'drain' && !this.#onlySessions.delete(group.firstLogId);
    if (needed) return [{ table: 'refs', key: refs }];
    this.sessionBytes -= group.bytes;
    this.storedBytes -= group.bytes;
    setImmediate(this.onFreed);
    if (table === 'drain' && this.#kept.has(group.firstLogId)) return [{ table: 'refs', key: refs }];
    return [
      { table: 'refs', key: refs },
      { table, key: group.key },
    ];
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

/** A removal that the end of the process prevents happens after the next start. */
function ignoreClosed(error: unknown): void {
  if (codeOf(error) !== 'store.closed') throw error;
}
