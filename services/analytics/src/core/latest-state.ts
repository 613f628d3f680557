/**
 * Which reading is the latest state of a device. The rule, for its highest incarnation: of the
 * stored readings whose `seq` is at most `seqLeapMax` above that of the reading stored last, in the
 * sequence of the log, the one with the highest `seq`. Where the reading stored last has a time as
 * its `seq` (ADR 0024), the reach is as many minutes.
 *
 * - A late reading changes nothing, as long as it is at most `seqLeapMax` behind.
 * - A `seq` that leaps far ahead once is the latest state until the next reading comes, which is
 *   far below it: from then on it is out of reach.
 * - The rule looks at the log, not at batches: it gives the same state however the log is cut into
 *   batches, and redelivered messages and duplicates do not take part.
 *
 * `apply_drain_batch` applies the rule. Most batches need no look at stored readings for it: this
 * file finds the candidate of each device from the batch alone.
 */
import { timeSeqMin } from '@thermomesh/contracts';

/** The reach of a device whose `seq` is a time: one minute for each reading. */
const readingIntervalMs = 60_000;

/** How far above `seq` a reading may be to count as later. */
function reachOf(seq: number, seqLeapMax: number): number {
  return seq >= timeSeqMin ? seqLeapMax * readingIntervalMs : seqLeapMax;
}

/** What the rule needs of a reading. */
export interface Position {
  deviceId: string;
  incarnation: number;
  seq: number;
}

/** Default of `seqLeapMax`. */
export const seqLeapMaxDefault = 1_000;

/** What a batch alone says about the latest states. */
export interface Candidates {
  /**
   * True for one reading of each device whose readings of this batch are of one incarnation, and
   * none out of reach: the one with the highest `seq`.
   */
  latest: boolean[];
  /** Number of devices of the batch. */
  devices: number;
}

/** Finds the candidates of a batch; its readings are in the sequence of the log. */
export function candidatesOf(readings: readonly Position[], seqLeapMax: number): Candidates {
  const found = new Map<string, { highest: number; last: number; mixed: boolean }>();
  readings.forEach(({ deviceId, incarnation, seq }, index) => {
    const known = found.get(deviceId);
    if (known === undefined) return void found.set(deviceId, { highest: index, last: index, mixed: false });
    if (incarnation !== readings[known.last]!.incarnation) known.mixed = true;
    if (seq > readings[known.highest]!.seq) known.highest = index;
    known.last = index;
  });
  const latest = readings.map(() => false);
  for (const { highest, last, mixed } of found.values()) {
    const { seq } = readings[last]!;
    latest[highest] = !mixed && readings[highest]!.seq - seq <= reachOf(seq, seqLeapMax);
  }
  return { latest, devices: found.size };
}

/**
 * The rule as it reads, over the whole log of one device: returns its latest state, undefined
 * without a reading. Tests compare the database with it.
 */
export function latestStateOf<R extends Omit<Position, 'deviceId'>>(
  log: readonly R[],
  seqLeapMax: number,
): R | undefined {
  const incarnation = Math.max(...log.map((reading) => reading.incarnation));
  const stored = new Map<number, R>();
  let last = 0;
  for (const reading of log) {
    if (reading.incarnation !== incarnation || stored.has(reading.seq)) continue;
    stored.set(reading.seq, reading);
    last = reading.seq;
  }
  const reach = [...stored.keys()].filter((seq) => seq <= last + reachOf(last, seqLeapMax));
  return stored.get(Math.max(...reach));
}
