/**
 * A ledger without an end, in segments: a fleet that runs for months keeps the latest of what it
 * has sent and seen acknowledged, within a size.
 */
import { existsSync } from 'node:fs';
import path from 'node:path';
import { ledgerExtension, openLedger, type LedgerWriter } from './file.ts';
import { keepWithin } from './retention.ts';
import type { LedgerHeader, SentLine } from './types.ts';

/** The size is kept by removing whole segments, so there are several of them. */
const segmentsMin = 8;

export interface RotatingLedgerOptions {
  folder: string;
  /** First part of the name of each segment; no other file in the folder may begin with it. */
  name: string;
  header: Pick<LedgerHeader, 'mesh' | 'devicePrefix' | 'devices' | 'options' | 'incarnation'>;
  /** Maximum size of all segments together. */
  bytesMax: number;
}

/** A reading that is about to be published. */
export interface SentReading extends Omit<SentLine, 'atUs' | 'measuredAtMs'> {
  /** Unix ms. */
  measuredAtMs: number;
}

/**
 * Writes the segments. A segment is complete in itself: readings that are not acknowledged when it
 * begins are repeated in it, so each acknowledgement follows its own sent line.
 */
export interface RotatingLedger {
  /**
   * Records the reading, and returns when the operating system has the line; only then may the
   * publish leave. A second call for the same reading records that it is sent again.
   * @throws LedgerError `ledger.unwritable`; a later call begins a new segment
   */
  sent(reading: SentReading): void;
  /** Records the acknowledgement of a reading that was sent; it is written with the next lines. */
  acked(device: number, number: number): void;
  /** Forgets a reading that its device has dropped and will not send again. */
  dropped(device: number, number: number): void;
  /** @throws LedgerError `ledger.unwritable` */
  flush(): void;
  close(): void;
}

/**
 * Begins the first segment.
 * @throws LedgerError `ledger.unwritable`
 */
export function openRotatingLedger(options: RotatingLedgerOptions): RotatingLedger {
  return new Segments(options);
}

interface Segment {
  writer: LedgerWriter;
  startedAtMs: number;
}

class Segments implements RotatingLedger {
  readonly #options: RotatingLedgerOptions;
  /** Sent and not acknowledged, by device and number. */
  readonly #open = new Map<string, SentReading>();
  /** Segments are read in the order of their names, which therefore never falls. */
  #lastStartedAtMs = 0;
  /** Undefined after a failed write. */
  #segment: Segment | undefined;

  constructor(options: RotatingLedgerOptions) {
    this.#options = options;
    this.#begin();
  }

  sent(reading: SentReading): void {
    const key = keyOf(reading.device, reading.number);
    if (this.#segment !== undefined && this.#segment.writer.bytes > this.#segmentBytesMax) this.#end();
    const { writer, startedAtMs } = this.#segment ?? this.#begin();
    this.#guarded(() => {
      if (this.#open.has(key)) writer.resent(reading.device, reading.number, usSince(startedAtMs));
      else writer.sent(lineOf(reading, startedAtMs));
      writer.flush();
    });
    this.#open.set(key, reading);
  }

  acked(device: number, number: number): void {
    if (!this.#open.delete(keyOf(device, number)) || this.#segment === undefined) return;
    const { writer, startedAtMs } = this.#segment;
    this.#guarded(() => writer.acked(device, number, usSince(startedAtMs)));
  }

  dropped(device: number, number: number): void {
    this.#open.delete(keyOf(device, number));
  }

  flush(): void {
    this.#guarded(() => this.#segment?.writer.flush());
  }

  close(): void {
    this.#end();
  }

  get #segmentBytesMax(): number {
    return Math.floor(this.#options.bytesMax / segmentsMin);
  }

  /** A segment whose write failed is given up: a line may be missing in it. */
  #guarded(write: () => void): void {
    try {
      write();
    } catch (error) {
      this.#segment?.writer.abandon();
      this.#segment = undefined;
      throw error;
    }
  }

  #begin(): Segment {
    const { folder, name, header, bytesMax } = this.#options;
    const isSegment = (file: string) => file.startsWith(`${name}-`) && file.endsWith(ledgerExtension);
    // The new segment needs room too.
    keepWithin(folder, bytesMax - this.#segmentBytesMax, isSegment);
    let startedAtMs = Math.max(Date.now(), this.#lastStartedAtMs + 1);
    const fileOf = () => path.join(folder, `${name}-${startedAtMs}${ledgerExtension}`);
    while (existsSync(fileOf())) startedAtMs += 1;
    const runId = `${name}-${startedAtMs}`;
    const writer = openLedger(fileOf(), { ...header, runId, startedAtMs, qos: 1, partial: true });
    const segment = { writer, startedAtMs };
    this.#lastStartedAtMs = startedAtMs;
    this.#segment = segment;
    this.#guarded(() => {
      for (const reading of this.#open.values()) writer.sent(lineOf(reading, startedAtMs));
    });
    return segment;
  }

  #end(): void {
    this.#guarded(() => this.#segment?.writer.close(false));
    this.#segment = undefined;
  }
}

function keyOf(device: number, number: number): string {
  return `${device}/${number}`;
}

function lineOf({ measuredAtMs, ...reading }: SentReading, startedAtMs: number): SentLine {
  return { ...reading, atUs: usSince(startedAtMs), measuredAtMs: measuredAtMs - startedAtMs };
}

function usSince(startedAtMs: number): number {
  return Math.round((performance.timeOrigin + performance.now() - startedAtMs) * 1000);
}
