/** The records that the ledger is made of, and the rows that it is compared with. */
import type { Latency } from '@thermomesh/contracts';
import type { RecordableHistogram } from 'node:perf_hooks';

/** First line of a ledger: the run. */
export interface LedgerHeader {
  runId: string;
  /** Name of the mesh, '' if unknown. */
  mesh: string;
  /** Unix ms; the times of entries are relative to it. */
  startedAtMs: number;
  qos: 0 | 1;
  /** Device n is `${devicePrefix}${n}`. */
  devicePrefix: string;
  devices: number;
  /** What the load generator was asked for. */
  options: Record<string, unknown>;
}

/** Last line of a ledger whose writer ended in order: what it counted itself. */
export interface LedgerEnd {
  sent: number;
  acked: number;
  poisoned: number;
  resent: number;
  /** Sending was ended by a signal. */
  interrupted: boolean;
}

/** A good reading that is about to be published. Numbers are texts as they stand in the payload; '' means absent. */
export interface SentLine {
  device: number;
  /** The reading's `seq`. */
  number: number;
  /** Microseconds since `startedAtMs`, monotonic. */
  atUs: number;
  /** `measuredAt` in ms relative to `startedAtMs`. */
  measuredAtMs: number;
  celsius: string;
  setpointCelsius: string;
  humidityPercent: string;
  heating: '' | '0' | '1';
}

/** A message that has to be rejected. */
export interface PoisonLine {
  device: number;
  /** The `seq` that it used up, whatever it carries. */
  number: number;
  atUs: number;
  /** Why it has to be rejected, a reason of `thermostat.reading.v1`. */
  reason: string;
  /** First 16 hex digits of the SHA-256 of its bytes: {@link fingerprint}. */
  sha: string;
  bytes: number;
}

/** A row of `readings`; times in Unix ms, fractions allowed. */
export interface StoredRow {
  deviceId: string;
  seq: number;
  measuredAtMs: number;
  receivedAtMs: number;
  committedAtMs: number;
  celsius: number;
  setpointCelsius: number | null;
  humidityPercent: number | null;
  heating: boolean | null;
}

/** A row of `rejected_readings`. */
export interface RejectedRow {
  deviceId: string | null;
  seq: number | null;
  reason: string;
  raw: Uint8Array;
}

/** Something that a person should look at. */
export interface Finding {
  kind: 'lost' | 'duplicated' | 'corrupted' | 'never_sent' | 'good_rejected' | 'other_reason';
  deviceId: string | null;
  /** Number of the message, its `seq` for a good reading. */
  number: number | null;
  detail: string;
  sent: object | null;
  found: object | null;
}

/** The verdict on one run, or on several added up. */
export interface Comparison {
  sent: number;
  acked: number;
  stored: number;
  rejected: number;
  /** Acked, but in neither table. */
  lost: number;
  /** In both tables, or more than once in one of them. */
  duplicated: number;
  /** Stored with other values than sent, stored though to be rejected, stored though never sent. */
  corrupted: number;
  ackMs: Latency;
  endToEndMs: Latency;
  /** Rows of either table that no entry explains. */
  neverSent: number;
  /** Well-formed readings that were rejected. */
  goodRejected: number;
  /** Rejected for another reason than the one expected. */
  otherReason: number;
  /** In a table though no ack was seen: allowed. */
  unackedStored: number;
  /** The first ones of each kind. */
  examples: Finding[];
  /** What the percentiles come from, in microseconds. */
  histograms: { ack: RecordableHistogram; endToEnd: RecordableHistogram };
}
