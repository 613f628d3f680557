/**
 * The backlog of a session on its way to a client that has come back: in order, with a bounded number unacknowledged, and with
 * live messages held back until it is through, so that they do not overtake it [MQTT-4.6.0-6].
 */
import { Readable } from 'node:stream';
import type { Queued, Sessions } from '../core/sessions.ts';

/** The delivery of one backlog. */
export interface CatchUp {
  /** False once the backlog is through: live messages go their own way from then on. */
  readonly active: boolean;
  /** The last entry that was read: a live message up to here has been delivered from the queue. */
  readonly readUpTo: number;
  /** An entry is about to be written. */
  updated(sequence: number): void;
  /** An entry was acknowledged. */
  acknowledged(): void;
}

export interface QueueStreamOptions {
  sessions: Sessions;
  clientId: string;
  /** False for somebody who only lists the queue. */
  live: boolean;
  windowMessagesMax: number;
  toPacket: (queued: Queued) => object;
  /** Where the delivery under way is found, by client id. */
  catchUps: Map<string, CatchUp>;
}

/** Entries that are read at a time. */
const pageEntries = 64;

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
        // Entries that were handed out are still on their way through Aedes' stream; new ones may come meanwhile.
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
    /** Everything that was handed out has been given its packet id. */
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
