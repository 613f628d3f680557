/**
 * Readings at QoS 0, where the fleet's owner has them stored (ADR 0023). They are outside I1 and
 * I6: what does not fit is dropped and counted.
 */
import { parseReading, type DrainMessage, type ParsedReading, type TimeLimits } from '@thermomesh/contracts';
import { isImplausible, plausibleRoom, type PlausibleLimits } from './plausibility.ts';

/** One message that came at QoS 0. */
export interface BestEffortEntry {
  receivedAtMs: number;
  deviceId: string;
  /** The payload as the device sent it. */
  raw: Buffer;
  parsed: ParsedReading;
  implausible: boolean;
}

/** How many messages had which outcome, as the database counted them. */
export interface BestEffortApplied {
  stored: number;
  duplicate: number;
  rejected: number;
}

/** Parses a message. An invalid reading becomes a rejection, never an error. */
export function toBestEffortEntry(
  deviceId: string,
  { receivedAtMs, payload }: Pick<DrainMessage, 'receivedAtMs' | 'payload'>,
  times?: TimeLimits,
  plausible: PlausibleLimits = plausibleRoom,
): BestEffortEntry {
  const parsed = parseReading(payload, deviceId, times);
  const implausible = 'reading' in parsed && isImplausible(parsed.reading, plausible);
  return { receivedAtMs, deviceId, raw: payload, parsed, implausible };
}

/** The entry as a rejection, if PostgreSQL refuses its data; undefined if it is one already. */
export function refusedByDatabase(entry: BestEffortEntry, sqlState: string): BestEffortEntry | undefined {
  if ('rejection' in entry.parsed) return undefined;
  const { seq } = entry.parsed.reading;
  const rejection = { reason: 'refused_by_database', detail: `SQLSTATE ${sqlState}`, seq } as const;
  return { ...entry, parsed: { rejection }, implausible: false };
}

/** A bounded queue: what comes when it is full is dropped, and counted by device. */
export interface BestEffortQueue {
  /** False if the entry was dropped. */
  push(entry: BestEffortEntry): boolean;
  /** Removes the oldest entries, at most `rowsMax`. */
  take(rowsMax: number): BestEffortEntry[];
  /** Puts entries back that were taken last. */
  putBack(taken: readonly BestEffortEntry[]): void;
  readonly length: number;
}

export interface BestEffortLimits {
  messagesMax: number;
  bytesMax: number;
}

/** Creates an empty queue. */
export function createBestEffortQueue({ messagesMax, bytesMax }: BestEffortLimits): BestEffortQueue {
  let entries: BestEffortEntry[] = [];
  let bytes = 0;
  return {
    push(entry) {
      if (entries.length >= messagesMax || bytes + entry.raw.length > bytesMax) return false;
      entries.push(entry);
      bytes += entry.raw.length;
      return true;
    },
    take(rowsMax) {
      const taken = entries.slice(0, rowsMax);
      entries = entries.slice(rowsMax);
      for (const { raw } of taken) bytes -= raw.length;
      return taken;
    },
    putBack(taken) {
      if (taken.length === 0) return;
      entries = [...taken, ...entries];
      for (const { raw } of taken) bytes += raw.length;
    },
    get length() {
      return entries.length;
    },
  };
}
