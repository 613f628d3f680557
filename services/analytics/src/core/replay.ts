/** Reads a rejected message once more, with the rules of today. */
import { dataTopic, type Rejection, type TimeLimits } from '@thermomesh/contracts';
import { toEntry, type Entry } from './batch.ts';
import type { PlausibleLimits } from './plausibility.ts';

/** A rejected message as it is kept. */
export interface RejectedMessage {
  id: number;
  /** Null if the topic named no device. */
  deviceId: string | null;
  receivedAtMs: number;
  raw: Buffer;
  /** False if only the beginning of the message is kept. */
  isWhole: boolean;
}

/** The rules that decide whether a message is a reading. */
export interface ReadingRules {
  times: TimeLimits;
  plausible: PlausibleLimits;
}

/** A message that is a valid reading now, or why it still is none. */
export type Reread = { entry: Entry } | { rejection: Pick<Rejection, 'reason' | 'detail'> };

/** The topic of a message whose topic named no device: the data topic that devices share. */
const sharedTopic = 'thermostat/data';

/** Applies the rules of the drain to a kept message. Its log id is no matter of a replay. */
export function readAgain(message: RejectedMessage, { times, plausible }: ReadingRules): Reread {
  const { deviceId, receivedAtMs, raw } = message;
  const drained = { log: Buffer.alloc(16), logId: 1, previousLogId: 0, receivedAtMs, payload: raw };
  const topic = deviceId === null ? sharedTopic : dataTopic(deviceId);
  const entry = toEntry(topic, drained, times, plausible);
  return 'rejection' in entry.parsed ? { rejection: entry.parsed.rejection } : { entry };
}
