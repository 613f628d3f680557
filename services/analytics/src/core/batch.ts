/** A message of the drain session on its way into a batch. */
import {
  deviceOfDataTopic,
  parseReading,
  type DrainMessage,
  type ParsedReading,
} from '@thermomesh/contracts';

export interface Entry {
  logId: number;
  /** Of the message before it at the gateway, 0 if there was none. */
  previousLogId: number;
  receivedAtMs: number;
  /** From the topic; undefined if it is not one device's data topic. */
  deviceId: string | undefined;
  /** The payload as the device sent it. */
  raw: Buffer;
  parsed: ParsedReading;
}

/** Consecutive messages of one gateway store, in log order. */
export interface Batch {
  /** The store's UUID, 16 bytes. */
  log: Buffer;
  entries: Entry[];
}

/** What the database counted of one batch. */
export interface Applied {
  stored: number;
  duplicate: number;
  rejected: number;
  /** Messages at or below the high-water mark: seen before, counted nowhere else. */
  redelivered: number;
}

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

/** Reads a message into an entry; a bad reading becomes a rejection, never an error. */
export function toEntry(topic: string, { logId, previousLogId, receivedAtMs, payload }: DrainMessage): Entry {
  const deviceId = deviceOfDataTopic(topic);
  return {
    logId,
    previousLogId,
    receivedAtMs,
    deviceId,
    raw: payload,
    parsed: parseReading(payload, deviceId),
  };
}
