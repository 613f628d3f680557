/** The lines of a ledger, the rows that it is compared with, and the result. */
import type { Latency } from '@thermomesh/contracts';
import type { RecordableHistogram } from 'node:perf_hooks';

/** First line of a ledger: describes the run. */
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
  /** Options of the load generator. */
  options: Record<string, unknown>;
  /**
   * True for a part of a longer record, such as a segment of the fleet's ledger: its devices have
   * sent other readings too, so a row without an entry is no finding. Absent means false.
   */
  partial?: boolean;
  /** The incarnation that the readings of the run name; 0 if absent: they name none. */
  incarnation?: number;
}

/** Last line of a ledger whose writer ended gracefully: the writer's own counts. */
export interface LedgerEnd {
  sent: number;
  acked: number;
  poisoned: number;
  resent: number;
  /** Whether a signal ended the sending. */
  interrupted: boolean;
}

/**
 * A good reading that is about to be published. Numbers are strings, as in the payload; '' means
 * absent.
 */
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

/** A message that the mesh must reject. */
export interface PoisonLine {
  device: number;
  /** The `seq` that it uses up, whatever its content. */
  number: number;
  atUs: number;
  /** The expected rejection reason of `thermostat.reading.v1`. */
  reason: string;
  /** First 16 hex digits of the SHA-256 of its bytes: {@link fingerprint}. */
  sha: string;
  bytes: number;
}

/** A row of `readings`; times in Unix ms, fractions allowed. */
export interface StoredRow {
  deviceId: string;
  /** Which life of the device the row belongs to. */
  incarnation: number;
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
  /** The bytes of the message, or as many as are kept. */
  raw: Uint8Array;
  /** SHA-256 of all its bytes, in hex; without it `raw` is whole. */
  sha256?: string;
}

/** A row of `rejection_counts`: how many messages of a device were rejected for one reason. */
export interface RejectionCountRow {
  deviceId: string;
  reason: string;
  count: number;
}

/** What operators have removed of a device: a number, no values. */
export interface ErasedCountRow {
  deviceId: string;
  /** Null: readings. Else the reason of the rejected messages. */
  reason: string | null;
  /** The range of `seq`; null if no removed row had one. */
  firstSeq: number | null;
  lastSeq: number | null;
  erased: number;
}

/** A finding for a person to look at. */
export interface Finding {
  kind: 'lost' | 'duplicated' | 'corrupted' | 'never_sent' | 'good_rejected' | 'other_reason';
  deviceId: string | null;
  /** Number of the message, its `seq` for a good reading. */
  number: number | null;
  detail: string;
  sent: object | null;
  found: object | null;
}

/** The result of comparing one run, or of several added up. */
export interface Comparison {
  sent: number;
  acked: number;
  stored: number;
  rejected: number;
  /** Acked, but in neither table. */
  lost: number;
  /**
   * In both tables, more than once in `readings`, or rejected more often than the device has sent
   * it.
   */
  duplicated: number;
  /**
   * Stored with other values than sent, stored although it had to be rejected, or stored although
   * never sent.
   */
  corrupted: number;
  ackMs: Latency;
  endToEndMs: Latency;
  /** Rows of either table that no entry explains. */
  neverSent: number;
  /** Well-formed readings that were rejected. */
  goodRejected: number;
  /** Acked, and in neither table because an operator has removed as many rows of this kind. */
  erased: number;
  /** Rejected for another reason than the one expected. */
  otherReason: number;
  /** In a table although no ack was seen: allowed. */
  unackedStored: number;
  /** The first findings of each kind. */
  examples: Finding[];
  /** The sources of the percentiles, in microseconds. */
  histograms: { ack: RecordableHistogram; endToEnd: RecordableHistogram };
}
