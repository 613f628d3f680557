/**
 * Persistent sessions besides the drain session: their subscriptions and their queues. A queue
 * entry refers to a message of the log, so a payload is stored once for any number of sessions. The
 * cost of an operation does not depend on the length of the queue.
 */
import { deserialize, serialize } from 'node:v8';
import type { Committer } from './committer.ts';
import { topicBytesMax } from '../core/access.ts';
import { messageAt, type Group } from '../core/group.ts';
import type { QueueEntry, Queues } from './intake.ts';
import {
  clientKey,
  clientNameKey,
  clientPrefix,
  prefixRange,
  splitClientKey,
  splitClientNameKey,
} from '../core/keys.ts';
import type { GroupTable, MessageLog } from '../core/message-log.ts';
import type { Operation, Store } from '../core/ports.ts';
import { createTopicTree, type TopicTree } from '../core/topic-tree.ts';
import {
  decodeInline,
  decodeSent,
  encodeInline,
  encodeReference,
  encodeSent,
  groupKeyOf,
  indexOf,
  isInline,
  qosOf,
  tableOf,
} from './queue-record.ts';
import { createSession, type Match, type Queued, type Session, type Subscription } from './session.ts';
import { createSessionQuota, type SessionLimits, type SessionQuota } from './session-quota.ts';

/** Number of queue entries that are removed in one transaction when a session ends. */
const clearBatch = 10_000;
/** Number of groups that stay in memory: entries that follow each other are in the same group. */
const cachedGroups = 16;
/** The record of a session has this name among its subscriptions; no filter is empty. */
const sessionName = '';

/** All persistent sessions; the constructor reads them from the store. */
export class Sessions implements Queues {
  readonly #store: Store;
  readonly #committer: Committer;
  readonly #messages: MessageLog;
  readonly #quota: SessionQuota | undefined;
  readonly #sessions = new Map<string, Session>();
  readonly #tree: TopicTree<Match> = createTopicTree();
  readonly #groups = new Map<string, Group>();

  constructor(store: Store, committer: Committer, messages: MessageLog, limits?: SessionLimits) {
    this.#store = store;
    this.#committer = committer;
    this.#messages = messages;
    this.#quota = limits && createSessionQuota(limits, () => messages.sessionBytes);
    for (const { key, value } of store.range('subscriptions')) {
      const { clientId, name } = splitClientNameKey(key);
      if (name === sessionName) this.#session(clientId).begun = true;
      else this.#remember(clientId, { topic: name, ...(deserialize(value) as Omit<Subscription, 'topic'>) });
    }
    for (const { key, value } of store.range('queue')) {
      const { clientId, value: sequence } = splitClientKey(key);
      const session = this.#session(clientId);
      session.queued += 1;
      if (isInline(value)) session.inline.set(decodeInline(value).name, sequence);
    }
    for (const { key, value } of store.range('inflight')) {
      const { clientId, value: sequence } = splitClientKey(key);
      const session = this.#session(clientId);
      const sent = decodeSent(value);
      session.sent.set(sequence, sent);
      session.byMessageId.set(sent.messageId, sequence);
    }
  }

  /** True if the client has a session, also one without subscriptions and messages. */
  has(clientId: string): boolean {
    return this.#sessions.has(clientId);
  }

  /**
   * Begins a session that lasts until {@link Sessions.clear}, also without subscriptions
   * [MQTT-3.1.2-4]. The promise resolves when its record is durable.
   */
  async begin(clientId: string): Promise<void> {
    const session = this.#session(clientId);
    if (session.begun) return;
    session.begun = true;
    const key = clientNameKey(clientId, sessionName);
    await this.#committer.submit('append', () => [{ table: 'subscriptions', key, value: serialize({}) }]);
  }

  /** Lists all sessions. */
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

  /** Stores subscriptions; they match topics once they are durable. */
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
    // A longer filter was never subscribed to, and the store has no key for it.
    const operations = topics
      .filter((topic) => Buffer.byteLength(topic) <= topicBytesMax)
      .map((topic) => ({ table: 'subscriptions' as const, key: clientNameKey(clientId, topic) }));
    await this.#committer.submit('housekeeping', () => operations);
    this.#dropIfEmpty(clientId, session);
  }

  subscriptionsOf(clientId: string): Subscription[] {
    return [...(this.#sessions.get(clientId)?.subscriptions.values() ?? [])];
  }

  /** The subscriptions above QoS 0 that match `topic`. */
  matching(topic: string): Match[] {
    return this.#tree.match(topic);
  }

  /** The clients with a subscription to exactly `topic`. */
  clientsWith(topic: string): string[] {
    return [...this.#sessions].flatMap(([id, { subscriptions }]) => (subscriptions.has(topic) ? [id] : []));
  }

  /** Ends a session and removes its subscriptions, queue and packet ids [MQTT-3.1.2-6]. */
  async clear(clientId: string): Promise<void> {
    const session = this.#sessions.get(clientId);
    if (session === undefined) return;
    await this.unsubscribe(clientId, [...session.subscriptions.keys()]);
    // Entries that were being queued when the subscriptions ended are in the store after this.
    if (session.queued > 0) await this.#committer.submit('append', () => []);
    while (session.queued > 0) {
      const range = { ...prefixRange(clientPrefix(clientId)), limit: clearBatch };
      const entries = [...this.#store.range('queue', range)];
      if (entries.length === 0) break;
      await this.#removeEntries(session, entries);
    }
    this.#sessions.delete(clientId);
    if (!session.begun) return;
    const key = clientNameKey(clientId, sessionName);
    await this.#committer.submit('housekeeping', () => [{ table: 'subscriptions', key }]);
  }

  wanting(topic: string, qos: 1 | 2): { clientId: string; qos: 1 | 2 }[] {
    if (this.#tree.size === 0) return [];
    const granted = new Map<string, number>();
    // Overlapping subscriptions deliver once, at the highest QoS among them [MQTT-3.3.5-1].
    for (const match of this.#tree.match(topic)) {
      granted.set(match.clientId, Math.max(granted.get(match.clientId) ?? 0, match.qos));
    }
    return [...granted]
      .filter(([clientId]) => this.#quota?.admits(clientId, this.#session(clientId)) ?? true)
      .map(([clientId, max]) => ({ clientId, qos: Math.min(qos, max) as 1 | 2 }));
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
      const sequence = this.#messages.allocate();
      session.queued += 1;
      session.inline.set(name, sequence);
      const value = encodeInline(name, packet);
      return [{ table: 'queue', key: clientKey(clientId, sequence), value }, ...this.#messages.counters()];
    });
  }

  /**
   * The sequence of an entry in its queue: that of the message `logId` of the log, or, without a
   * log id, that of the object that was queued under `name`.
   */
  sequenceOf(clientId: string, logId: number | undefined, name: string): number | undefined {
    if (logId === undefined) return this.#sessions.get(clientId)?.inline.get(name);
    return this.#store.get('queue', clientKey(clientId, logId)) === undefined ? undefined : logId;
  }

  /**
   * Gives an entry its packet id: `wanted`, or the next free one if another entry still holds
   * `wanted` [MQTT-2.3.1-4].
   * @returns the packet id; `again` is true if the entry was sent before under it; `durable`
   *   resolves when the packet id survives a crash
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

  /** True if an entry of the session was sent under this packet id and is not acknowledged. */
  holds(clientId: string, messageId: number): boolean {
    return this.#sessions.get(clientId)?.byMessageId.has(messageId) ?? false;
  }

  /** Records that the PUBREC of an entry has come, so that it awaits its PUBCOMP. */
  async release(clientId: string, messageId: number): Promise<void> {
    const session = this.#sessions.get(clientId);
    const sequence = session?.byMessageId.get(messageId);
    if (session === undefined || sequence === undefined) return;
    session.sent.set(sequence, { messageId, released: true });
    await this.#writeSent(clientId, sequence, messageId, true);
  }

  /** Removes and returns the entry that was sent under `messageId`; undefined if there is none. */
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

  /** At most `limit` entries after the sequence `after`, in order. */
  read(clientId: string, after: number, limit: number): Queued[] {
    const session = this.#sessions.get(clientId);
    if (session === undefined) return [];
    const { end } = prefixRange(clientPrefix(clientId));
    const entries = [...this.#store.range('queue', { start: clientKey(clientId, after + 1), end, limit })];
    return entries.map(({ key, value }) => this.#decode(session, splitClientKey(key).value, value));
  }

  /** True while the removal of an entry is under way. */
  isLeaving(clientId: string, sequence: number): boolean {
    return this.#sessions.get(clientId)?.leaving.has(sequence) ?? false;
  }

  /** Number of entries that were sent and not acknowledged. */
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
      if (isInline(value)) session.inline.delete(decodeInline(value).name);
      else operations.push(...this.#messages.unreference(tableOf(value), groupKeyOf(value), 1));
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
    const value = encodeSent(messageId, released);
    const operation: Operation = { table: 'inflight', key: clientKey(clientId, sequence), value };
    return this.#committer.submit('housekeeping', () => [operation]);
  }

  #decode(session: Session, sequence: number, value: Buffer): Queued {
    const sent = session.sent.get(sequence);
    const head = { sequence, messageId: sent?.messageId, released: sent?.released ?? false };
    if (isInline(value)) {
      return { ...head, message: { kind: 'inline', packet: decodeInline(value).packet } };
    }
    const table = tableOf(value);
    const message = messageAt(this.#group(table, groupKeyOf(value)), indexOf(value), table === 'drain');
    return { ...head, message: { kind: 'log', qos: qosOf(value), ...message } };
  }

  #group(table: GroupTable, key: Buffer): Group {
    const name = table + key.toString('latin1');
    let group = this.#groups.get(name);
    if (group !== undefined) return group;
    group = this.#messages.read(table, key);
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
      !session.begun &&
      session.subscriptions.size === 0 &&
      session.queued === 0 &&
      this.#sessions.get(clientId) === session
    ) {
      this.#sessions.delete(clientId);
    }
  }
}
