/**
 * The persistence of Aedes on the gateway's store. Messages of the log are stored before they come
 * here, in the transaction that precedes their PUBACK. Their broker id marks them, and they are not
 * stored again.
 */
import { Readable } from 'node:stream';
import { deserialize, serialize } from 'node:v8';
import type { AedesPublishPacket, Brokers, Client } from 'aedes';
import aedesPacket from 'aedes-packet';
import { emptySessionFilter, type Identity } from '../core/access.ts';
import type { Committer } from '../storage/committer.ts';
import { clientKey, clientPrefix, prefixRange } from '../core/keys.ts';
import type { Match, Queued, Subscription } from '../storage/session.ts';
import type { Sessions } from '../storage/sessions.ts';
import type { Operation, Range, Store, Table } from '../core/ports.ts';
import { matches } from '../core/topic-tree.ts';
import { streamQueue, type CatchUp } from './queue-stream.ts';

/** The broker id of a message of the log is this prefix and its publisher. */
export const logBrokerPrefix = 'log/';

/** Aedes passes its client; the suite of `aedes-persistence` passes only an id. */
type ClientLike = Pick<Client, 'id'>;
type AnyPacket = Omit<Partial<AedesPublishPacket>, 'cmd'> & { cmd?: string };

/** Aedes' packet is a class, but its typings do not say that. */
const Packet = aedesPacket as unknown as new (original: AnyPacket) => AnyPacket;

export interface PersistenceOptions {
  store: Store;
  committer: Committer;
  sessions: Sessions;
  /** Maximum number of unacknowledged messages of one session while its backlog is delivered. */
  windowMessagesMax: number;
  /**
   * Aedes stores every filter of a SUBSCRIBE, also the refused ones. Filters for which this returns
   * false are not stored.
   */
  maySubscribe?: (client: ClientLike, filter: string) => boolean;
  /**
   * Receives the error if the record of a session cannot be stored. Without it sessions that have
   * no subscription and no message are not kept, as the suite of `aedes-persistence` expects.
   */
  onSessionFailed?: (error: unknown) => void;
  /** Stored with a will, so that its rights can be checked when its client is gone. */
  identityOf?: (client: ClientLike) => Identity | undefined;
}

/** Rows of a page. A page is read at once, because an iteration of the store must not await. */
const pageRows = 64;

/** Implements the persistence interface of Aedes; the suite of `aedes-persistence` tests it. */
export class LmdbPersistence {
  broker: { id: string } | undefined;
  readonly #options: PersistenceOptions;
  readonly #catchUps = new Map<string, CatchUp>();
  readonly #again = new WeakSet<object>();
  readonly #willIdentities = new WeakMap<object, Identity>();
  readonly #incomingOfClean = new WeakMap<object, Set<number>>();

  constructor(options: PersistenceOptions) {
    this.#options = options;
  }

  async setup(broker: { id: string }): Promise<void> {
    this.broker = broker;
  }

  async storeRetained(packet: AnyPacket): Promise<void> {
    if (isLogged(packet)) return;
    await this.#write([retainedOperation({ ...packet } as AnyPacket & { topic: string })]);
  }

  createRetainedStream(pattern: string): Readable {
    return this.createRetainedStreamCombi([pattern]);
  }

  createRetainedStreamCombi(patterns: string[]): Readable {
    return Readable.from(this.#retained(patterns));
  }

  async *#retained(patterns: string[]): AsyncGenerator<object> {
    for (const pattern of patterns) {
      const wild = pattern.search(/[+#]/);
      if (wild < 0) {
        const value = this.#options.store.get('retained', Buffer.from(pattern));
        if (value !== undefined) yield deserialize(value) as object;
        continue;
      }
      // 'a/#' also matches 'a', so the slash before the wildcard is not part of the prefix.
      const prefix = pattern.slice(0, Math.max(0, wild - 1));
      const range = prefix === '' ? {} : prefixRange(Buffer.from(prefix));
      for await (const { key, value } of this.#pages('retained', range)) {
        if (matches(pattern, key.toString())) yield deserialize(value) as object;
      }
    }
  }

  async addSubscriptions(client: ClientLike, subscriptions: Subscription[]): Promise<void> {
    const { maySubscribe = () => true, sessions } = this.#options;
    const allowed = subscriptions.filter(({ topic }) => maySubscribe(client, topic));
    const plain = allowed.map(({ topic, qos, rh, rap, nl, subscriptionIdentifier }) => ({
      topic,
      qos,
      rh,
      rap,
      nl,
      ...(subscriptionIdentifier === undefined ? {} : { subscriptionIdentifier }),
    }));
    // The last subscription for a filter counts.
    const last = new Map(plain.map((subscription) => [subscription.topic, subscription]));
    if (last.size > 0) await sessions.subscribe(client.id, [...last.values()] as Subscription[]);
  }

  async removeSubscriptions(client: ClientLike, topics: string[]): Promise<void> {
    await this.#options.sessions.unsubscribe(client.id, topics);
  }

  /** Aedes calls this when a client enters its persistent session. */
  async subscriptionsByClient(client: ClientLike): Promise<Subscription[]> {
    const { sessions, onSessionFailed } = this.#options;
    const subscriptions = sessions.subscriptionsOf(client.id);
    if (onSessionFailed === undefined) return subscriptions;
    const isKnown = sessions.has(client.id);
    // The CONNACK does not wait for the record: a full disk must not keep clients out.
    sessions.begin(client.id).catch(onSessionFailed);
    // Aedes reports a session only if it gets a subscription [MQTT-3.2.2-2].
    return isKnown && subscriptions.length === 0 ? [{ topic: emptySessionFilter, qos: 0 }] : subscriptions;
  }

  async countOffline(): Promise<{ subsCount: number; clientsCount: number }> {
    return this.#options.sessions.counts();
  }

  async subscriptionsByTopic(topic: string): Promise<Match[]> {
    return this.#options.sessions.matching(topic);
  }

  async cleanSubscriptions(client: ClientLike): Promise<void> {
    await this.#options.sessions.clear(client.id);
  }

  async outgoingEnqueue(subscription: { clientId: string }, packet: AnyPacket): Promise<void> {
    await this.outgoingEnqueueCombi([subscription], packet);
  }

  async outgoingEnqueueCombi(subscriptions: { clientId: string }[], packet: AnyPacket): Promise<void> {
    if (isLogged(packet)) return;
    const stored = { ...new Packet(packet) };
    for (const { clientId } of subscriptions) {
      await this.#options.sessions.enqueueInline(clientId, nameOf(packet), stored);
    }
  }

  async outgoingUpdate(client: ClientLike, packet: AnyPacket): Promise<void> {
    const { sessions } = this.#options;
    if (packet.messageId === undefined) return;
    if (packet.cmd === 'pubrel') return sessions.release(client.id, packet.messageId);
    const logId = isLogged(packet) ? packet.brokerCounter : undefined;
    const sequence = sessions.sequenceOf(client.id, logId, nameOf(packet));
    // Published before the subscription was stored: the message is delivered but not queued.
    if (sequence === undefined) return;
    const { messageId, again, durable } = sessions.assign(client.id, sequence, packet.messageId);
    packet.messageId = messageId;
    if (again) this.#again.add(packet);
    this.#catchUps.get(client.id)?.updated(sequence);
    // At QoS 2 the receiver recognises the message by its packet id, also after a crash
    // [MQTT-4.4.0-1].
    if (packet.qos === 2) await durable;
    else durable.catch(() => undefined);
  }

  /** True if a message of the client's session has this packet id and is not acknowledged. */
  isInFlight(client: ClientLike, messageId: number): boolean {
    return this.#options.sessions.holds(client.id, messageId);
  }

  /** True if `packet` is sent again, so that its DUP flag must be set [MQTT-3.3.1-1]. */
  isRedelivery(packet: object): boolean {
    return this.#again.has(packet);
  }

  /** The delivery of a client's backlog; undefined if none is under way. */
  catchUpOf(clientId: string): CatchUp | undefined {
    return this.#catchUps.get(clientId);
  }

  async outgoingClearMessageId(client: ClientLike, packet: AnyPacket): Promise<object | undefined> {
    // Aedes also calls this for packets that it does not forward; they have no packet id and stay
    // in the queue.
    if (packet.messageId === undefined) return undefined;
    const queued = await this.#options.sessions.acknowledge(client.id, packet.messageId);
    this.#catchUps.get(client.id)?.acknowledged();
    return queued && toPacket(queued);
  }

  outgoingStream(client: ClientLike): Readable {
    const { sessions, windowMessagesMax } = this.#options;
    const live = 'conn' in client;
    return streamQueue({
      sessions,
      clientId: client.id,
      live,
      windowMessagesMax,
      toPacket,
      catchUps: this.#catchUps,
    });
  }

  async incomingStorePacket(client: ClientLike, packet: AnyPacket): Promise<void> {
    if (isLogged(packet)) return;
    this.rememberIncoming(client, packet);
    await this.#write(this.incomingOperations(client, packet));
  }

  /** Stores the packet id of a QoS 2 publish until its PUBREL; empty for a clean session. */
  incomingOperations(client: ClientLike, packet: AnyPacket): Operation[] {
    if (isClean(client)) return [];
    const { messageId } = packet;
    const value = serialize({ ...new Packet(packet), messageId });
    return [{ table: 'incoming', key: clientKey(client.id, messageId!), value }];
  }

  /** Keeps the packet id of a clean session, which ends with its connection [MQTT-3.1.2-6]. */
  rememberIncoming(client: ClientLike, packet: AnyPacket): void {
    if (!isClean(client)) return;
    const ids = this.#incomingOfClean.get(client) ?? new Set();
    this.#incomingOfClean.set(client, ids.add(packet.messageId!));
  }

  async incomingGetPacket(client: ClientLike, packet: AnyPacket): Promise<object> {
    // A packet of the log was stored a moment ago with its message, so it is not a repetition.
    if (isLogged(packet) || !this.knowsIncoming(client, packet)) throw new Error('no such packet');
    const value = this.#options.store.get('incoming', clientKey(client.id, packet.messageId!));
    return value === undefined ? packet : (deserialize(value) as object);
  }

  /** True if a QoS 2 publish with this packet id awaits its PUBREL. */
  knowsIncoming(client: ClientLike, packet: AnyPacket): boolean {
    if (isClean(client)) return this.#incomingOfClean.get(client)?.has(packet.messageId!) === true;
    return this.#options.store.get('incoming', clientKey(client.id, packet.messageId!)) !== undefined;
  }

  async incomingDelPacket(client: ClientLike, packet: AnyPacket): Promise<void> {
    if (isClean(client)) return void this.#incomingOfClean.get(client)?.delete(packet.messageId!);
    const key = clientKey(client.id, packet.messageId!);
    if (this.#options.store.get('incoming', key) === undefined) throw new Error('no such packet');
    await this.#remove('incoming', [key]);
  }

  async cleanIncoming(client: ClientLike): Promise<void> {
    const keys = [...this.#options.store.keys('incoming', prefixRange(clientPrefix(client.id)))];
    if (keys.length > 0) await this.#remove('incoming', keys);
  }

  async putWill(client: ClientLike, packet: AnyPacket & { clientId?: string }): Promise<void> {
    packet.brokerId = this.broker!.id;
    packet.clientId = client.id;
    const value = serialize({ packet, identity: this.#options.identityOf?.(client) });
    await this.#write([{ table: 'wills', key: Buffer.from(client.id), value }]);
  }

  async getWill(client: ClientLike): Promise<object | undefined> {
    const value = this.#options.store.get('wills', Buffer.from(client.id));
    return value && this.#readWill(value);
  }

  async delWill(client: ClientLike): Promise<object | undefined> {
    const key = Buffer.from(client.id ?? '');
    const value = key.length === 0 ? undefined : this.#options.store.get('wills', key);
    if (value === undefined) return undefined;
    await this.#remove('wills', [key]);
    return this.#readWill(value);
  }

  streamWill(brokers: Brokers = {}): Readable {
    return Readable.from(this.#wills(brokers));
  }

  async *#wills(brokers: Brokers): AsyncGenerator<object> {
    for await (const { value } of this.#pages('wills', {})) {
      const packet = this.#readWill(value);
      if (!Object.hasOwn(brokers, packet.brokerId!)) yield packet;
    }
  }

  /** The identity of the client whose will this is; undefined if it did not come from the store. */
  identityOfWill(packet: object): Identity | undefined {
    return this.#willIdentities.get(packet);
  }

  getClientList(topic: string): Readable {
    return Readable.from(this.#options.sessions.clientsWith(topic));
  }

  async destroy(): Promise<void> {
    this.broker = undefined;
  }

  #readWill(value: Buffer): AnyPacket {
    const { packet, identity } = deserialize(value) as { packet: AnyPacket; identity?: Identity };
    if (identity !== undefined) this.#willIdentities.set(packet, identity);
    return packet;
  }

  #write(operations: Operation[]): Promise<void> {
    return this.#options.committer.submit('append', () => operations);
  }

  #remove(table: Table, keys: readonly Buffer[]): Promise<void> {
    return this.#options.committer.submit('housekeeping', () => keys.map((key) => ({ table, key })));
  }

  async *#pages(table: Table, range: Range): AsyncGenerator<{ key: Buffer; value: Buffer }> {
    let { start } = range;
    for (;;) {
      const page = [
        ...this.#options.store.range(table, { ...range, ...(start && { start }), limit: pageRows }),
      ];
      yield* page;
      const last = page.at(-1);
      if (last === undefined || page.length < pageRows) return;
      // The lowest key above the last one.
      start = Buffer.concat([last.key, Buffer.from([0])]);
    }
  }
}

/** Stores a retained publish, or removes it if its payload is empty [MQTT-3.3.1-10]. */
export function retainedOperation(packet: AnyPacket & { topic: string }): Operation {
  const key = Buffer.from(packet.topic);
  const empty = packet.payload === undefined || packet.payload.length === 0;
  return empty ? { table: 'retained', key } : { table: 'retained', key, value: serialize({ ...packet }) };
}

/** True for a connection with a clean session; the suite of `aedes-persistence` passes none. */
function isClean(client: ClientLike & { clean?: boolean }): boolean {
  return client.clean === true;
}

function isLogged({ brokerId }: AnyPacket): boolean {
  return typeof brokerId === 'string' && brokerId.startsWith(logBrokerPrefix);
}

function nameOf({ brokerId, brokerCounter }: AnyPacket): string {
  return `${brokerId}\0${brokerCounter}`;
}

function toPacket({ sequence, messageId, released, message }: Queued): object {
  if (released) return { cmd: 'pubrel', messageId };
  const original =
    message.kind === 'inline'
      ? message.packet
      : { ...message, cmd: 'publish', brokerId: logBrokerPrefix, brokerCounter: sequence };
  const packet = new Packet(original);
  if (messageId !== undefined) packet.messageId = messageId;
  return packet;
}
