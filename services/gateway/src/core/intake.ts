/**
 * Where accepted publishes become durable: they gather, go into the store as one transaction with everything that depends on them
 * (log, counters, retained messages, session queues), and are acknowledged in the order in which they came [MQTT-4.6.0-2].
 */
import { drainFilter } from '@thermomesh/contracts';
import { codeOf, type CrashHook } from '@thermomesh/runtime';
import type { Committer } from './committer.ts';
import { messageBytes } from './group.ts';
import type { GroupTable, LogMessage, MessageLog, PreparedGroup } from './message-log.ts';
import type { Operation } from './store.ts';

/** Messages of one transaction, in bytes and number: what a commit may take of memory and of one callback's time. */
const transactionBytesMax = 8 * 1024 * 1024;
const transactionMessagesMax = 20_000;

/** A publish at QoS 1 or 2 that its publisher waits for. */
export interface Publish {
  topic: string;
  payload: Buffer;
  qos: 1 | 2;
  /** Operations of the same transaction besides the log's: retained message, QoS 2 record. */
  alongside: Operation[];
  /** False once its publisher is gone: what nobody waits for is not taken over. */
  wanted(): boolean;
  /** It is durable under this number. */
  done(logId: number): void;
}

/** Sessions besides the drain session that want a message. */
export interface Queues {
  /** Clients with a persistent subscription to `topic`, and the QoS at which they get it. */
  wanting(topic: string, qos: 1 | 2): readonly { clientId: string; qos: 1 | 2 }[];
  /** Operations that queue message `index` of a group for clients. */
  enqueue(entries: readonly QueueEntry[]): Operation[];
}

export interface QueueEntry {
  clientId: string;
  qos: 1 | 2;
  logId: number;
  index: number;
  prepared: PreparedGroup;
}

export interface IntakeOptions {
  log: MessageLog;
  committer: Committer;
  queues: Queues;
  crash: CrashHook;
  /** Limits of what waits for the drain session and for others; null for publishers that are not held back by it. */
  limits: { bytesMax: number; messagesMax: number } | null;
  /** So many publishes that wait are committed without lingering. */
  lingerMessagesMax: number;
  now: () => number;
  /** Told once when publishes begin to be held, and once when they no longer are. */
  onHeld: (held: boolean) => void;
  /** New messages may be delivered. */
  onDeliverable: () => void;
}

export interface Intake {
  publish(publish: Publish): void;
  /** Space was freed: tries again what is held. */
  resume(): void;
  /** Publishes that wait for space or for their commit. */
  readonly waiting: number;
  readonly held: boolean;
}

/** Publishes are taken again below this share of the limits, so that the edge is not crossed with every message. */
const resumeShare = 0.9;

const drainPrefix = drainFilter.slice(0, -1);

export function createIntake(options: IntakeOptions): Intake {
  return new GroupIntake(options);
}

/** What goes into one transaction. */
interface Batch {
  publishes: Publish[];
  logIds: number[];
  operations: Operation[];
  groups: PreparedGroup[];
}

interface Pending {
  clientId: string;
  qos: 1 | 2;
  logId: number;
  isReading: boolean;
  /** Position among the messages of its table. */
  at: number;
}

/** Publishes that wait before those of publishers that have gone are looked for. */
const pruneAtLeast = 100_000;

class GroupIntake implements Intake {
  held = false;
  readonly #options: IntakeOptions;
  #waiting: Publish[] = [];
  #pruneAt = pruneAtLeast;
  #scheduled = false;

  constructor(options: IntakeOptions) {
    this.#options = options;
  }

  get waiting(): number {
    return this.#waiting.length;
  }

  publish(publish: Publish): void {
    this.#waiting.push(publish);
    this.#prune();
    this.#schedule();
    // The publishers of so many would only wait together for the linger, with nothing left to do meanwhile.
    if (this.#waiting.length === this.#options.lingerMessagesMax) this.#options.committer.hurry();
  }

  resume(): void {
    if (this.held && this.#admits(0, 0, 0)) this.#schedule();
  }

  #schedule(): void {
    if (this.#scheduled || this.held || this.#waiting.length === 0) return;
    this.#scheduled = true;
    let batch: Batch | undefined;
    const prepare = () => {
      this.#scheduled = false;
      batch = this.#takeBatch();
      this.#schedule();
      return batch.operations;
    };
    this.#options.committer.submit('append', prepare).then(
      () => this.#acknowledge(batch!),
      (error: unknown) => {
        // The store is closing: publishers were not acknowledged and will send again.
        if (codeOf(error) !== 'store.closed') throw error;
      },
    );
  }

  /** I1: called when the batch is durable, never before; each `done` sends a PUBACK. */
  #acknowledge({ publishes, logIds, groups }: Batch): void {
    const { log, crash, onDeliverable } = this.#options;
    if (publishes.length === 0) return;
    log.committed(groups);
    crash('gateway.after-commit');
    publishes.forEach((publish, index) => publish.done(logIds[index]!));
    // The PUBACKs leave at the end of this turn; delivery comes after them.
    setImmediate(() => {
      crash('gateway.before-delivery');
      log.deliverable(groups);
      if (groups.length > 0) onDeliverable();
    });
  }

  /** Moves publishes from the waiting line into one transaction, as far as the limits go. */
  #takeBatch(): Batch {
    const { log, queues, now } = this.#options;
    const batch: Batch = { publishes: [], logIds: [], operations: [], groups: [] };
    const messages: Record<GroupTable, LogMessage[]> = { drain: [], other: [] };
    const entries: Pending[] = [];
    let bytes = 0;
    let index = 0;
    for (; index < this.#waiting.length && batch.publishes.length < transactionMessagesMax; index++) {
      const publish = this.#waiting[index]!;
      if (!publish.wanted()) continue;
      const { topic, payload } = publish;
      const isReading = topic.startsWith(drainPrefix);
      const clients = queues.wanting(topic, publish.qos);
      const isStored = isReading || clients.length > 0;
      if (isStored) {
        const size = messageBytes(topic, payload.length, isReading);
        if (bytes > 0 && bytes + size > transactionBytesMax) break;
        if (!this.#admits(size, bytes, messages.drain.length)) break;
        bytes += size;
      }
      const logId = log.allocate();
      batch.publishes.push(publish);
      batch.logIds.push(logId);
      batch.operations.push(...publish.alongside);
      if (!isStored) continue;
      const table = messages[isReading ? 'drain' : 'other'];
      table.push({ logId, receivedAtMs: now(), topic, payload, references: clients.length });
      for (const client of clients) entries.push({ ...client, logId, isReading, at: table.length - 1 });
    }
    this.#waiting = this.#waiting.slice(index);
    this.#complete(batch, messages, entries);
    return batch;
  }

  /** Adds groups, counters and queue entries to a batch. */
  #complete(batch: Batch, messages: Record<GroupTable, LogMessage[]>, entries: readonly Pending[]): void {
    const { log, queues, crash } = this.#options;
    batch.groups.push(...log.prepare('drain', messages.drain, batch.operations));
    batch.groups.push(...log.prepare('other', messages.other, batch.operations));
    if (batch.groups.length > 0) batch.operations.push(...log.counters());
    if (entries.length > 0) {
      for (const operation of queues.enqueue(locate(entries, batch.groups))) batch.operations.push(operation);
    }
    if (batch.publishes.length > 0) crash('gateway.before-commit');
  }

  /** True if the buffer limit leaves room for one more message. */
  #admits(size: number, bytesTaken: number, messagesTaken: number): boolean {
    const { log, limits } = this.#options;
    if (limits === null) return true;
    const share = this.held ? resumeShare : 1;
    const room =
      log.storedBytes + bytesTaken + size <= limits.bytesMax * share &&
      log.buffered + messagesTaken + 1 <= Math.max(1, limits.messagesMax * share);
    if (room === this.held) {
      this.held = !room;
      this.#options.onHeld(this.held);
    }
    return room;
  }

  /** While publishes wait for space, those of publishers that have gone are let go now and then: reconnects cost no memory. */
  #prune(): void {
    if (this.#waiting.length < this.#pruneAt) return;
    this.#waiting = this.#waiting.filter((publish) => publish.wanted());
    this.#pruneAt = Math.max(pruneAtLeast, this.#waiting.length * 2);
  }
}

/** Finds the group and the index of each message that a session waits for. */
function locate(entries: readonly Pending[], groups: readonly PreparedGroup[]): QueueEntry[] {
  interface Start {
    from: number;
    prepared: PreparedGroup;
  }
  const starts: Record<GroupTable, Start[]> = { drain: [], other: [] };
  const counted = { drain: 0, other: 0 };
  for (const prepared of groups) {
    starts[prepared.table].push({ from: counted[prepared.table], prepared });
    counted[prepared.table] += prepared.group.count;
  }
  return entries.map(({ clientId, qos, logId, isReading, at }) => {
    const { from, prepared } = starts[isReading ? 'drain' : 'other'].findLast((start) => start.from <= at)!;
    return { clientId, qos, logId, index: at - from, prepared };
  });
}
