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
  const { log, committer, queues, crash, limits, now } = options;
  let waiting: Publish[] = [];
  let pruneAt = 100_000;
  let scheduled = false;
  let held = false;

  function schedule(): void {
    if (scheduled || held || waiting.length === 0) return;
    scheduled = true;
    let taken: Batch | undefined;
    committer
      .submit('append', () => {
        scheduled = false;
        taken = takeBatch();
        schedule();
        return taken.operations;
      })
      .then(
        () => acknowledge(taken!),
        (error: unknown) => {
          // The store is closing: publishers were not acknowledged and will send again.
          if (codeOf(error) !== 'store.closed') throw error;
        },
      );
  }

  /** Moves publishes from the waiting line into one transaction, as far as the limits go. */
  function takeBatch(): Batch {
    const batch: Batch = { publishes: [], logIds: [], operations: [], groups: [] };
    const drain: LogMessage[] = [];
    const other: LogMessage[] = [];
    const entries: Pending[] = [];
    let bytes = 0;
    let index = 0;
    for (; index < waiting.length && batch.publishes.length < transactionMessagesMax; index++) {
      const publish = waiting[index]!;
      if (!publish.wanted()) continue;
      const isReading = publish.topic.startsWith(drainPrefix);
      const clients = queues.wanting(publish.topic, publish.qos);
      if (isReading || clients.length > 0) {
        const size = messageBytes(publish.topic, publish.payload.length, isReading);
        if (bytes > 0 && bytes + size > transactionBytesMax) break;
        if (!admits(size, bytes, drain.length)) break;
        bytes += size;
      }
      const logId = log.allocate();
      batch.publishes.push(publish);
      batch.logIds.push(logId);
      batch.operations.push(...publish.alongside);
      if (!isReading && clients.length === 0) continue;
      const messages = isReading ? drain : other;
      messages.push({ logId, receivedAtMs: now(), topic: publish.topic, payload: publish.payload, references: clients.length });
      for (const client of clients) entries.push({ ...client, logId, isReading, at: messages.length - 1 });
    }
    waiting = waiting.slice(index);
    batch.groups.push(...log.prepare('drain', drain, batch.operations));
    batch.groups.push(...log.prepare('other', other, batch.operations));
    if (batch.groups.length > 0) batch.operations.push(...log.counters());
    if (entries.length > 0) batch.operations.push(...queues.enqueue(locate(entries, batch.groups)));
    if (batch.publishes.length > 0) crash('gateway.before-commit');
    return batch;
  }

  /** True if the buffer limit leaves room for one more message. */
  function admits(size: number, bytesTaken: number, messagesTaken: number): boolean {
    if (limits === null) return true;
    const share = held ? resumeShare : 1;
    const room =
      log.storedBytes + bytesTaken + size <= limits.bytesMax * share &&
      log.buffered + messagesTaken + 1 <= limits.messagesMax * share;
    setHeld(!room);
    return room;
  }

  function setHeld(next: boolean): void {
    if (next === held) return;
    held = next;
    options.onHeld(held);
  }

  /** I1: called when the batch is durable, never before; each `done` sends a PUBACK. */
  function acknowledge({ publishes, logIds, groups }: Batch): void {
    log.committed(groups);
    if (publishes.length > 0) crash('gateway.after-commit');
    publishes.forEach((publish, index) => publish.done(logIds[index]!));
    // The PUBACKs leave at the end of this turn; delivery comes after them.
    setImmediate(() => {
      if (publishes.length > 0) crash('gateway.before-delivery');
      log.deliverable(groups);
      if (groups.length > 0) options.onDeliverable();
    });
  }

  return {
    publish(publish) {
      waiting.push(publish);
      prune();
      schedule();
    },
    resume() {
      if (!held || !admits(0, 0, 0)) return;
      schedule();
    },
    get waiting() {
      return waiting.length;
    },
    get held() {
      return held;
    },
  };

  /** While publishes wait for space, those of publishers that have gone are let go now and then, so that reconnects cost no memory. */
  function prune(): void {
    if (waiting.length < pruneAt) return;
    waiting = waiting.filter((publish) => publish.wanted());
    pruneAt = Math.max(100_000, waiting.length * 2);
  }
}

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
