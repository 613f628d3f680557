/**
 * Persistent sessions besides the drain session: what they subscribe to and what waits for them. A queue entry refers to a message
 * of the log, so a payload is stored once however many sessions want it. Every operation costs the same however long a queue is.
 */
import { deserialize, serialize } from 'node:v8';
import type { Committer } from './committer.ts';
import { messageAt, type Group } from './group.ts';
import type { QueueEntry, Queues } from './intake.ts';
import {
  clientKey,
  clientNameKey,
  clientPrefix,
  prefixRange,
  splitClientKey,
  splitClientNameKey,
} from './keys.ts';
import type { GroupTable, MessageLog } from './message-log.ts';
import type { Operation, Store } from './store.ts';
import { createTopicTree, type TopicTree } from './topic-tree.ts';

export interface Subscription {
  topic: string;
  qos: 0 | 1 | 2;
  rh?: number;
  rap?: boolean;
  nl?: boolean;
  subscriptionIdentifier?: number;
}

/** A subscription with its owner, as a match gives it. */
export interface Match extends Omit<Subscription, 'subscriptionIdentifier'> {
  clientId: string;
}

/** A queue entry as it is delivered. */
export interface Queued {
  sequence: number;
  /** Set once the entry has been sent; a released one awaits its PUBCOMP (QoS 2). */
  messageId: number | undefined;
  released: boolean;
  /** A message of the log, or whatever object was queued by itself. */
  message: LogQueued | { kind: 'inline'; packet: object };
}

export interface LogQueued {
  kind: 'log';
  qos: 1 | 2;
  topic: string;
  payload: Buffer;
}

interface Session {
  subscriptions: Map<string, Subscription>;
  queued: number;
  /** Packet ids of entries that were sent. */
  byMessageId: Map<number, number>;
  sent: Map<number, { messageId: number; released: boolean }>;
  /** Entries that are not of the log, by the name that Aedes knows them by. */
  inline: Map<string, number>;
  /** Entries whose removal is under way. */
  leaving: Set<number>;
}

/** Entries of a queue that are removed in one transaction when a session ends. */
const clearBatch = 10_000;
/** Groups that were read last are kept: queue entries follow one another in them. */
const cachedGroups = 16;

export class Sessions implements Queues {
  readonly #store: Store;
  readonly #committer: Committer;
  readonly #log: MessageLog;
  readonly #sessions = new Map<string, Session>();
  readonly #tree: TopicTree<Match> = createTopicTree();
  readonly #groups = new Map<string, Group>();

  constructor(store: Store, committer: Committer, log: MessageLog) {
    this.#store = store;
    this.#committer = committer;
    this.#log = log;
    for (const { key, value } of store.range('subscriptions')) {
      const { clientId, name } = splitClientNameKey(key);
      this.#remember(clientId, { topic: name, ...(deserialize(value) as Omit<Subscription, 'topic'>) });
    }
    for (const { key, value } of store.range('queue')) {
      const { clientId, value: sequence } = splitClientKey(key);
      const session = this.#session(clientId);
      session.queued += 1;
      if (value[0] === inlineKind) session.inline.set(decodeInline(value).name, sequence);
    }
    for (const { key, value } of store.range('inflight')) {
      const { clientId, value: sequence } = splitClientKey(key);
      const messageId = value.readUInt16BE(0);
      const session = this.#session(clientId);
      session.sent.set(sequence, { messageId, released: value[2] === 1 });
      session.byMessageId.set(messageId, sequence);
    }
  }

  /** Sessions that have a subscription or a queue. */
  list(): { clientId: string; queued: number; subscriptions: string[] }[] {
    return [...this.#sessions].map(([clientId, { queued, subscriptions }]) => ({
      clientId,
      queued,
      subscriptions: [...subscriptions.keys()],
    }));
  }

  counts(): { subsCount: number; clientsCount: number } {
    const withSubscriptions = [...this.#sessions.values()].filter(
      ({ subscriptions }) => subscriptions.size > 0,
    );
    return { subsCount: this.#tree.size, clientsCount: withSubscriptions.length };
  }

  /** Stores subscriptions; they match from the moment at which they are durable. */
  async subscribe(clientId: string, subscriptions: readonly Subscription[]): Promise<void> {
    const operations = subscriptions.map(({ topic, ...rest }) => ({
      table: 'subscriptions' as const,
      key: clientNameKey(clientId, topic),
      value: serialize(rest),
    }));
    await this.#committer.submit('housekeeping', () => operations);
    for (const subscription of subscriptions) this.#remember(clientId, subscription);
  }

  async unsubscribe(clientId: string, topics: readonly string[]): Promise<void> {
    const session = this.#sessions.get(clientId);
    if (session === undefined) return;
    for (const topic of topics) this.#forget(clientId, session, topic);
    const operations = topics.map((topic) => ({
      table: 'subscriptions' as const,
      key: clientNameKey(clientId, topic),
    }));
    await this.#committer.submit('housekeeping', () => operations);
    this.#dropIfEmpty(clientId, session);
  }

  subscriptionsOf(clientId: string): Subscription[] {
    return [...(this.#sessions.get(clientId)?.subscriptions.values() ?? [])];
  }

  /** Subscriptions above QoS 0 that match `topic`. */
  matching(topic: string): Match[] {
    return this.#tree.match(topic);
  }

  /** Clients with a subscription to exactly `topic`. */
  clientsWith(topic: string): string[] {
    return [...this.#sessions].flatMap(([id, { subscriptions }]) => (subscriptions.has(topic) ? [id] : []));
  }

  /** Ends a session: subscriptions, queue and packet ids [MQTT-3.1.2-6]. */
  async clear(clientId: string): Promise<void> {
    const session = this.#sessions.get(clientId);
    if (session === undefined) return;
    await this.unsubscribe(clientId, [...session.subscriptions.keys()]);
    // What was being queued when the subscriptions ended is in the store after this.
    if (session.queued > 0) await this.#committer.submit('append', () => []);
    while (session.queued > 0) {
      const range = { ...prefixRange(clientPrefix(clientId)), limit: clearBatch };
      const entries = [...this.#store.range('queue', range)];
      if (entries.length === 0) break;
      await this.#removeEntries(session, entries);
    }
    this.#sessions.delete(clientId);
  }

  wanting(topic: string, qos: 1 | 2): { clientId: string; qos: 1 | 2 }[] {
    if (this.#tree.size === 0) return [];
    const granted = new Map<string, number>();
    // Overlapping subscriptions deliver once, at the highest QoS of them [MQTT-3.3.5-1].
    for (const match of this.#tree.match(topic)) {
      granted.set(match.clientId, Math.max(granted.get(match.clientId) ?? 0, match.qos));
    }
    return [...granted].map(([clientId, max]) => ({ clientId, qos: Math.min(qos, max) as 1 | 2 }));
  }

  enqueue(entries: readonly QueueEntry[]): Operation[] {
    return entries.map(({ clientId, qos, logId, index, prepared }) => {
      this.#session(clientId).queued += 1;
      const value = encodeReference(prepared.table, qos, index, prepared.group.key);
      return { table: 'queue', key: clientKey(clientId, logId), value };
    });
  }

  /** Queues an object that is not in the log. */
  async enqueueInline(clientId: string, name: string, packet: object): Promise<void> {
    await this.#committer.submit('append', () => {
      const session = this.#session(clientId);
      const sequence = this.#log.allocate();
      session.queued += 1;
      session.inline.set(name, sequence);
      const value = Buffer.concat([Buffer.from([inlineKind]), serialize({ name, packet })]);
      return [{ table: 'queue', key: clientKey(clientId, sequence), value }, ...this.#log.counters()];
    });
  }

  /** The place of an entry in its queue: of the log's message `logId`, or of what was queued under `name`. */
  sequenceOf(clientId: string, logId: number | undefined, name: string): number | undefined {
    if (logId === undefined) return this.#sessions.get(clientId)?.inline.get(name);
    return this.#store.get('queue', clientKey(clientId, logId)) === undefined ? undefined : logId;
  }

  /**
   * Gives an entry its packet id. Another entry may still hold `wanted`: then it gets the next free one [MQTT-2.3.1-4].
   * @returns the id, and if the entry was sent before under it; `durable` is when that will be known after a crash
   */
  assign(
    clientId: string,
    sequence: number,
    wanted: number,
  ): { messageId: number; again: boolean; durable: Promise<void> } {
    const session = this.#session(clientId);
    const before = session.sent.get(sequence);
    if (before !== undefined && before.messageId === wanted) {
      return { messageId: wanted, again: true, durable: Promise.resolve() };
    }
    let messageId = wanted;
    while ((session.byMessageId.get(messageId) ?? sequence) !== sequence)
      messageId = (messageId % 65_535) + 1;
    if (before !== undefined) session.byMessageId.delete(before.messageId);
    session.byMessageId.set(messageId, sequence);
    session.sent.set(sequence, { messageId, released: false });
    return { messageId, again: false, durable: this.#writeSent(clientId, sequence, messageId, false) };
  }

  /** PUBREC came: the entry awaits its PUBCOMP. */
  async release(clientId: string, messageId: number): Promise<void> {
    const session = this.#sessions.get(clientId);
    const sequence = session?.byMessageId.get(messageId);
    if (session === undefined || sequence === undefined) return;
    session.sent.set(sequence, { messageId, released: true });
    await this.#writeSent(clientId, sequence, messageId, true);
  }

  /** Removes the entry that was sent under `messageId` and returns it; undefined if there is none. */
  async acknowledge(clientId: string, messageId: number): Promise<Queued | undefined> {
    const session = this.#sessions.get(clientId);
    const sequence = session?.byMessageId.get(messageId);
    if (session === undefined || sequence === undefined) return undefined;
    const key = clientKey(clientId, sequence);
    const value = this.#store.get('queue', key);
    if (value === undefined) return undefined;
    const queued = this.#decode(session, sequence, value);
    await this.#removeEntries(session, [{ key, value }]);
    this.#dropIfEmpty(clientId, session);
    return queued;
  }

  /** Entries behind `after` in order, at most `limit`. */
  read(clientId: string, after: number, limit: number): Queued[] {
    const session = this.#sessions.get(clientId);
    if (session === undefined) return [];
    const { end } = prefixRange(clientPrefix(clientId));
    const entries = [...this.#store.range('queue', { start: clientKey(clientId, after + 1), end, limit })];
    return entries.map(({ key, value }) => this.#decode(session, splitClientKey(key).value, value));
  }

  /** True if the removal of an entry is under way. */
  isLeaving(clientId: string, sequence: number): boolean {
    return this.#sessions.get(clientId)?.leaving.has(sequence) ?? false;
  }

  /** Entries that were sent and not acknowledged. */
  inFlight(clientId: string): number {
    return this.#sessions.get(clientId)?.sent.size ?? 0;
  }

  async #removeEntries(session: Session, entries: readonly { key: Buffer; value: Buffer }[]): Promise<void> {
    const operations: Operation[] = [];
    const sequences = entries.map(({ key }) => splitClientKey(key).value);
    entries.forEach(({ key, value }, at) => {
      const sequence = sequences[at]!;
      const sent = session.sent.get(sequence);
      operations.push({ table: 'queue', key });
      if (sent !== undefined) operations.push({ table: 'inflight', key });
      if (value[0] === inlineKind) session.inline.delete(decodeInline(value).name);
      else operations.push(...this.#log.unreference(tableOf(value), groupKeyOf(value), 1));
      if (sent !== undefined && session.byMessageId.get(sent.messageId) === sequence) {
        session.byMessageId.delete(sent.messageId);
      }
      session.sent.delete(sequence);
      session.leaving.add(sequence);
    });
    session.queued -= entries.length;
    await this.#committer.submit('housekeeping', () => operations);
    for (const sequence of sequences) session.leaving.delete(sequence);
  }

  #writeSent(clientId: string, sequence: number, messageId: number, released: boolean): Promise<void> {
    const value = Buffer.from([messageId >>> 8, messageId & 0xff, released ? 1 : 0]);
    const operation: Operation = { table: 'inflight', key: clientKey(clientId, sequence), value };
    return this.#committer.submit('housekeeping', () => [operation]);
  }

  #decode(session: Session, sequence: number, value: Buffer): Queued {
    const sent = session.sent.get(sequence);
    const head = { sequence, messageId: sent?.messageId, released: sent?.released ?? false };
    if (value[0] === inlineKind) {
      return { ...head, message: { kind: 'inline', packet: decodeInline(value).packet } };
    }
    const table = tableOf(value);
    const message = messageAt(this.#group(table, groupKeyOf(value)), indexOf(value), table === 'drain');
    return { ...head, message: { kind: 'log', qos: value[1] as 1 | 2, ...message } };
  }

  #group(table: GroupTable, key: Buffer): Group {
    const name = table + key.toString('latin1');
    let group = this.#groups.get(name);
    if (group !== undefined) return group;
    group = this.#log.read(table, key);
    if (group === undefined)
      throw new RangeError(`a queue refers to a group that is gone: ${key.toString('hex')}`);
    this.#groups.set(name, group);
    if (this.#groups.size > cachedGroups) this.#groups.delete(this.#groups.keys().next().value!);
    return group;
  }

  #session(clientId: string): Session {
    let session = this.#sessions.get(clientId);
    if (session === undefined) this.#sessions.set(clientId, (session = createSession()));
    return session;
  }

  #remember(clientId: string, subscription: Subscription): void {
    const { topic, qos, rh, rap, nl } = subscription;
    this.#session(clientId).subscriptions.set(topic, subscription);
    // QoS 0 subscriptions are restored with the session, but nothing is queued for them.
    if (qos > 0) this.#tree.set(topic, clientId, { clientId, topic, qos, rh, rap, nl } as Match);
    else this.#tree.delete(topic, clientId);
  }

  #forget(clientId: string, session: Session, topic: string): void {
    session.subscriptions.delete(topic);
    this.#tree.delete(topic, clientId);
  }

  #dropIfEmpty(clientId: string, session: Session): void {
    if (
      session.subscriptions.size === 0 &&
      session.queued === 0 &&
      this.#sessions.get(clientId) === session
    ) {
      this.#sessions.delete(clientId);
    }
  }
}

function createSession(): Session {
  return {
    subscriptions: new Map(),
    queued: 0,
    byMessageId: new Map(),
    sent: new Map(),
    inline: new Map(),
    leaving: new Set(),
  };
}

/**
 * Values of the queue: 1 byte kind; a reference then has 1 byte QoS, 4 bytes index, 16 bytes group key; anything else is one
 * serialised object.
 */
const drainKind = 1;
const otherKind = 2;
const inlineKind = 3;

function encodeReference(table: GroupTable, qos: number, index: number, groupKey: Buffer): Buffer {
  const value = Buffer.allocUnsafe(6 + groupKey.length);
  value[0] = table === 'drain' ? drainKind : otherKind;
  value[1] = qos;
  value.writeUInt32BE(index, 2);
  groupKey.copy(value, 6);
  return value;
}

function tableOf(value: Buffer): GroupTable {
  return value[0] === drainKind ? 'drain' : 'other';
}

function indexOf(value: Buffer): number {
  return value.readUInt32BE(2);
}

function groupKeyOf(value: Buffer): Buffer {
  return value.subarray(6);
}

function decodeInline(value: Buffer): { name: string; packet: object } {
  return deserialize(value.subarray(1)) as { name: string; packet: object };
}
