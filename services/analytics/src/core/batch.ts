/** Messages of the drain session, as a batch holds them. */
import {
  deviceOfDataTopic,
  parseReading,
  type DrainMessage,
  type ParsedReading,
  type TimeLimits,
} from '@thermomesh/contracts';
import { isImplausible, plausibleRoom, type PlausibleLimits } from './plausibility.ts';

/** One message. */
export interface Entry {
  logId: number;
  /** Log id of the message before it at the gateway; 0 if there was none. */
  previousLogId: number;
  receivedAtMs: number;
  /**
   * The device that the topic names; undefined if the topic is not the data topic of one device.
   */
  deviceId: string | undefined;
  /** The payload as the device sent it. */
  raw: Buffer;
  parsed: ParsedReading;
  /** True for a reading that no sensor of the fleet can have measured. */
  implausible: boolean;
}

/** Consecutive messages of one gateway store, in log order. */
export interface Batch {
  /** The store's UUID, 16 bytes. */
  log: Buffer;
  entries: Entry[];
}

/** How many messages of one batch had which outcome, as the database counted them. */
export interface Applied {
  stored: number;
  duplicate: number;
  rejected: number;
  /** Messages at or below the high-water mark: they were counted when they came first. */
  redelivered: number;
}

/** The counts of an empty batch. */
export const nothingApplied: Readonly<Applied> = { stored: 0, duplicate: 0, rejected: 0, redelivered: 0 };

/** Sums the counts of two parts of a batch. */
export function addApplied(a: Applied, b: Applied): Applied {
  return {
    stored: a.stored + b.stored,
    duplicate: a.duplicate + b.duplicate,
    rejected: a.rejected + b.rejected,
    redelivered: a.redelivered + b.redelivered,
  };
}

/**
 * Parses a message into an entry. An invalid reading becomes a rejection, never an error.
 * @param times the times at which a reading may be measured
 * @param plausible the values that a sensor can measure
 */
export function toEntry(
  topic: string,
  { logId, previousLogId, receivedAtMs, payload }: DrainMessage,
  times?: TimeLimits,
  plausible: PlausibleLimits = plausibleRoom,
): Entry {
  const deviceId = deviceOfDataTopic(topic);
  const parsed = parseReading(payload, deviceId, times);
  return {
    logId,
    previousLogId,
    receivedAtMs,
    deviceId,
    raw: payload,
    parsed,
    implausible: 'reading' in parsed && isImplausible(parsed.reading, plausible),
  };
}
