/**
 * Makes accepted publishes durable. They gather, go into the store in one transaction together with
 * everything that depends on them (log, counters, retained messages, session queues), and are
 * acknowledged in the order in which they came [MQTT-4.6.0-2].
 */
import { drainFilter } from '@thermomesh/contracts';
import { codeOf, type CrashHook } from '@thermomesh/runtime';
import type { Committer } from './committer.ts';
import { messageBytes } from '../core/group.ts';
import type { GroupTable, LogMessage, MessageLog, PreparedGroup } from '../core/message-log.ts';
import type { Operation } from '../core/ports.ts';

/** Maximum size and number of the messages of one transaction: bounds its memory and CPU time. */
const transactionBytesMax = 8 * 1024 * 1024;
const transactionMessagesMax = 20_000;

/** A publish at QoS 1 or 2 whose publisher waits for the acknowledgement. */
export interface Publish {
  topic: string;
  payload: Buffer;
  qos: 1 | 2;
  /** Further operations of the same transaction: the retained message, the QoS 2 record. */
  alongside: Operation[];
  /** False once its publisher is gone: the publish is then dropped. */
  wanted(): boolean;
  /** Called when the publish is durable, with its number in the log. */
  done(logId: number): void;
}

/** The queues of the sessions besides the drain session. */
export interface Queues {
  /** Clients with a persistent subscription to `topic`, and the QoS at which they get it. */
  wanting(topic: string, qos: 1 | 2): readonly { clientId: string; qos: 1 | 2 }[];
  /** Operations that queue message `index` of a group for clients. */
  enqueue(entries: readonly QueueEntry[]): Operation[];
}

/** One message of a group for one session. */
export interface QueueEntry {
  clientId: string;
  qos: 1 | 2;
  logId: number;
  index: number;
  prepared: PreparedGroup;
}

export interface IntakeOptions {
  messages: MessageLog;
  committer: Committer;
  queues: Queues;
  crash: CrashHook;
  /** The buffer limit; null for publishers that it does not hold back. */
  limits: { bytesMax: number; messagesMax: number } | null;
  /** Number of waiting publishes that are committed without lingering. */
  lingerMessagesMax: number;
  now: () => number;
  /** Called when publishes begin to be held (true), and when they are no longer held (false). */
  onHeld: (held: boolean) => void;
  /** Called when new messages may be delivered. */
  onDeliverable: () => void;
}

/** Takes the publishes of one kind of publishers. */
export interface Intake {
  publish(publish: Publish): void;
  /** Tries held publishes again; called when space was freed. */
  resume(): void;
  /** Number of publishes that wait for space or for their commit. */
  readonly waiting: number;
  readonly held: boolean;
}

/**
 * Held publishes are taken again below this share of the limits, so that the state does not change
 * with every message.
 */
const resumeShare = 0.9;

const drainPrefix = drainFilter.slice(0, -1);

/** Makes an intake. */
export function createIntake(options: IntakeOptions): Intake {
  return new GroupIntake(options);
}

/** The contents of one transaction. */
interface Batch {
  publishes: Publish[];
  logIds: number[];
  operations: Operation[];
  groups: PreparedGroup[];
}

/** A queue entry whose group does not exist yet. */
interface Pending {
  clientId: string;
  qos: 1 | 2;
  logId: number;
  isReading: boolean;
  /** Position among the messages of its table. */
  at: number;
}

/** Minimum number of waiting publishes for which those of gone publishers are removed. */
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
    // Enough have gathered: their publishers would all wait for the linger, and send nothing.
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

  /** I1: called only when the batch is durable; each `done` sends a PUBACK. */
  #acknowledge({ publishes, logIds, groups }: Batch): void {
    const { messages, crash, onDeliverable } = this.#options;
    if (publishes.length === 0) return;
    messages.committed(groups);
    crash('gateway.after-commit');
    publishes.forEach((publish, index) => publish.done(logIds[index]!));
    // The PUBACKs leave at the end of this turn; delivery follows them.
    setImmediate(() => {
      crash('gateway.before-delivery');
      messages.deliverable(groups);
      if (groups.length > 0) onDeliverable();
    });
  }

  /** Moves waiting publishes into one transaction, as many as the limits allow. */
  #takeBatch(): Batch {
    const { messages, queues, now } = this.#options;
    const batch: Batch = { publishes: [], logIds: [], operations: [], groups: [] };
    const taken: Record<GroupTable, LogMessage[]> = { drain: [], other: [] };
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
        if (!this.#admits(size, bytes, taken.drain.length)) break;
        bytes += size;
      }
      const logId = messages.allocate();
      batch.publishes.push(publish);
      batch.logIds.push(logId);
      batch.operations.push(...publish.alongside);
      if (!isStored) continue;
      const table = taken[isReading ? 'drain' : 'other'];
      table.push({ logId, receivedAtMs: now(), topic, payload, references: clients.length });
      for (const client of clients) entries.push({ ...client, logId, isReading, at: table.length - 1 });
    }
    this.#waiting = this.#waiting.slice(index);
    this.#complete(batch, taken, entries);
    return batch;
  }

  /** Adds groups, counters and queue entries to a batch. */
  #complete(batch: Batch, taken: Record<GroupTable, LogMessage[]>, entries: readonly Pending[]): void {
    const { messages, queues, crash } = this.#options;
    batch.groups.push(...messages.prepare('drain', taken.drain, batch.operations));
    batch.groups.push(...messages.prepare('other', taken.other, batch.operations));
    if (batch.groups.length > 0) batch.operations.push(...messages.counters());
    if (entries.length > 0) {
      for (const operation of queues.enqueue(locate(entries, batch.groups))) batch.operations.push(operation);
    }
    if (batch.publishes.length > 0) crash('gateway.before-commit');
  }

  /** True if the buffer limit leaves room for one more message. */
  #admits(size: number, bytesTaken: number, messagesTaken: number): boolean {
    const { messages, limits } = this.#options;
    if (limits === null) return true;
    const share = this.held ? resumeShare : 1;
    const room =
      messages.storedBytes - messages.sessionBytes + bytesTaken + size <= limits.bytesMax * share &&
      messages.buffered + messagesTaken + 1 <= Math.max(1, limits.messagesMax * share);
    if (room === this.held) {
      this.held = !room;
      this.#options.onHeld(this.held);
    }
    return room;
  }

  /**
   * Removes publishes of gone publishers when many wait, so that devices that reconnect again and
   * again while the store is full cost no memory.
   */
  #prune(): void {
    if (this.#waiting.length < this.#pruneAt) return;
    this.#waiting = this.#waiting.filter((publish) => publish.wanted());
    this.#pruneAt = Math.max(pruneAtLeast, this.#waiting.length * 2);
  }
}

/** Finds the group and the index of the message of each queue entry. */
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
