/**
 * Delivers the backlog of a session to a client that has reconnected: in order, and with a bounded
 * number of unacknowledged messages. Live messages wait until the backlog is delivered, so that
 * they do not overtake it [MQTT-4.6.0-6].
 */
import { Readable } from 'node:stream';
import type { Queued } from '../storage/session.ts';
import type { Sessions } from '../storage/sessions.ts';

/** The delivery of one backlog. */
export interface CatchUp {
  /** False once the backlog is delivered; from then on live messages are sent directly. */
  readonly active: boolean;
  /** Sequence of the last entry that was read; messages up to it are delivered from the queue. */
  readonly readUpTo: number;
  /** Records that Aedes is about to write an entry. */
  updated(sequence: number): void;
  /** Records that an entry was acknowledged. */
  acknowledged(): void;
}

export interface QueueStreamOptions {
  sessions: Sessions;
  clientId: string;
  /** False if the caller only lists the queue. */
  live: boolean;
  windowMessagesMax: number;
  toPacket: (queued: Queued) => object;
  /** The deliveries under way, by client id. */
  catchUps: Map<string, CatchUp>;
}

/** Number of entries that are read at once. */
const pageEntries = 64;

/** The queue of a session as a stream of packets: a delivery if `live`, else a list. */
export function streamQueue(options: QueueStreamOptions): Readable {
  return Readable.from(options.live ? deliver(options) : list(options));
}

async function* list({ sessions, clientId, toPacket }: QueueStreamOptions): AsyncGenerator<object> {
  let after = 0;
  for (;;) {
    const page = sessions.read(clientId, after, pageEntries);
    if (page.length === 0) return;
    for (const queued of page) {
      if (!sessions.isLeaving(clientId, queued.sequence)) yield toPacket(queued);
    }
    after = page.at(-1)!.sequence;
  }
}

async function* deliver(options: QueueStreamOptions): AsyncGenerator<object> {
  const { sessions, clientId, windowMessagesMax, toPacket, catchUps } = options;
  const catchUp = createCatchUp();
  catchUps.set(clientId, catchUp);
  try {
    for (;;) {
      const page = sessions.read(clientId, catchUp.readUpTo, pageEntries);
      if (page.length === 0) {
        if (catchUp.settled()) return;
        // Entries that were handed out are still in Aedes' stream; new ones may come meanwhile.
        await catchUp.changed();
        continue;
      }
      for (const queued of page) {
        catchUp.read(queued.sequence);
        if (sessions.isLeaving(clientId, queued.sequence)) continue;
        while (queued.messageId === undefined && sessions.inFlight(clientId) >= windowMessagesMax) {
          await catchUp.changed();
        }
        if (!queued.released) catchUp.handedOut(queued.sequence);
        yield toPacket(queued);
      }
    }
  } finally {
    catchUp.end();
  }
}

function createCatchUp() {
  let active = true;
  let readUpTo = 0;
  let lastHandedOut = 0;
  let lastUpdated = 0;
  let wake: (() => void) | undefined;
  const notify = () => {
    wake?.();
    wake = undefined;
  };
  return {
    get active() {
      return active;
    },
    get readUpTo() {
      return readUpTo;
    },
    read(sequence: number): void {
      readUpTo = sequence;
    },
    handedOut(sequence: number): void {
      lastHandedOut = sequence;
    },
    /** True if all entries that were handed out have their packet ids. */
    settled: () => lastUpdated >= lastHandedOut,
    updated(sequence: number): void {
      lastUpdated = Math.max(lastUpdated, sequence);
      notify();
    },
    acknowledged: notify,
    changed: () => new Promise<void>((resolve) => (wake = resolve)),
    end(): void {
      active = false;
      notify();
    },
  };
}
