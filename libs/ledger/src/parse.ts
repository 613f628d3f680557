/** Parses a ledger from chunks of bytes. It does no I/O. */
import { Entries } from './entries.ts';
import { LedgerError } from './errors.ts';
import { createLatencyHistogram, recordLatency } from './latency.ts';
import { ledgerFormat } from './lines.ts';
import type { LedgerEnd, LedgerHeader } from './types.ts';
import type { RecordableHistogram } from 'node:perf_hooks';

/** A ledger in memory. */
export interface Ledger {
  header: LedgerHeader;
  /** The writer's end line; null if the writer was killed. */
  end: LedgerEnd | null;
  /** Whether a half-written last line was ignored. */
  torn: boolean;
  sent: number;
  acked: number;
  resent: number;
  poisoned: number;
  entries: Entries;
  /** Time from the first send to the ack, in microseconds. */
  ack: RecordableHistogram;
}

/** Takes the chunks in order; `finish` returns the ledger. */
export interface LedgerParser {
  /** @throws LedgerError `ledger.damaged` that names the line */
  feed(chunk: Buffer): void;
  /**
   * @throws LedgerError `ledger.damaged` if there is no header or the end's counts are not those of
   *   the lines
   */
  finish(): Ledger;
}

const newline = 0x0a;
const comma = 0x2c;
const minus = 0x2d;
const digit0 = 0x30;
const letter = { acked: 0x41, end: 0x45, header: 0x48, poison: 0x50, resent: 0x52, sent: 0x53 };

/** @param name of the file, for messages */
export function createLedgerParser(name: string): LedgerParser {
  const state = new ParserState(name);
  let rest: Buffer = Buffer.alloc(0);
  return {
    feed(chunk) {
      const bytes = rest.length === 0 ? chunk : Buffer.concat([rest, chunk]);
      let from = 0;
      for (let to = bytes.indexOf(newline); to >= 0; to = bytes.indexOf(newline, from)) {
        state.line(bytes, from, to);
        from = to + 1;
      }
      rest = bytes.subarray(from);
    },
    finish: () => state.finish(rest.length > 0),
  };
}

class ParserState {
  readonly #name: string;
  #lineNumber = 0;
  #header: LedgerHeader | undefined;
  #end: LedgerEnd | null = null;
  #entries = new Entries();
  #ack = createLatencyHistogram();
  #counts = { acked: 0, resent: 0, poisoned: 0 };
  // The line being read.
  #bytes: Buffer = Buffer.alloc(0);
  #at = 0;
  #to = 0;

  constructor(name: string) {
    this.#name = name;
  }

  line(bytes: Buffer, from: number, to: number): void {
    this.#lineNumber++;
    this.#bytes = bytes;
    this.#at = from + 2;
    this.#to = to;
    const kind = bytes[from];
    if (kind === letter.header) return this.#readHeader();
    if (this.#header === undefined) throw this.#damaged('the first line is no header');
    if (this.#end !== null) throw this.#damaged('something follows the end');
    if (bytes[from + 1] !== (kind === letter.end ? 0x20 : comma))
      throw this.#damaged('not a line of a ledger');
    if (kind === letter.sent) return this.#readSent(this.#header);
    if (kind === letter.acked) return this.#readAcked();
    if (kind === letter.poison) return this.#readPoison(this.#header);
    if (kind === letter.resent) return this.#readResent();
    if (kind === letter.end) return this.#readEnd();
    throw this.#damaged('unknown kind of line');
  }

  finish(torn: boolean): Ledger {
    if (this.#header === undefined) throw this.#damaged('there is no header');
    const counts = { sent: this.#entries.count, ...this.#counts };
    if (this.#end !== null) {
      for (const name of ['sent', 'acked', 'resent', 'poisoned'] as const) {
        if (this.#end[name] === counts[name]) continue;
        throw this.#damaged(`the writer counted ${this.#end[name]} ${name}, the lines say ${counts[name]}`);
      }
    }
    return { header: this.#header, end: this.#end, torn, ...counts, entries: this.#entries, ack: this.#ack };
  }

  #readHeader(): void {
    if (this.#header !== undefined) throw this.#damaged('a second header');
    const { format, ...header } = this.#json() as LedgerHeader & { format?: string };
    if (format !== ledgerFormat)
      throw this.#damaged(`format ${String(format)}, only ${ledgerFormat} is known`);
    this.#header = header;
  }

  #readEnd(): void {
    this.#end = this.#json() as LedgerEnd;
  }

  #readSent(header: LedgerHeader): void {
    const device = this.#device(header);
    const number = this.#integer();
    const sentUs = this.#integer();
    const measuredAtMs = header.startedAtMs + this.#integer();
    const celsius = this.#decimal();
    if (Number.isNaN(celsius)) throw this.#damaged('celsius is missing');
    const setpointCelsius = this.#decimal();
    const humidityPercent = this.#decimal();
    const heating = this.#text();
    if (heating !== '' && heating !== '0' && heating !== '1') throw this.#damaged(`heating is "${heating}"`);
    this.#endOfLine();
    const values = {
      measuredAtMs,
      celsius,
      setpointCelsius,
      humidityPercent,
      heating: heating === '' ? null : heating === '1',
    };
    if (this.#entries.add(device, number, sentUs, values) < 0)
      throw this.#damaged('sent for the second time');
  }

  #readPoison(header: LedgerHeader): void {
    const device = this.#device(header);
    const number = this.#integer();
    const sentUs = this.#integer();
    const reason = this.#text();
    const sha = this.#text();
    this.#integer();
    this.#endOfLine();
    const at = this.#entries.addPoison(device, number, sentUs, reason, sha);
    if (at < 0) throw this.#damaged('sent for the second time');
    this.#counts.poisoned++;
  }

  #readAcked(): void {
    const at = this.#entries.find(this.#integer(), this.#integer());
    const ackedUs = this.#integer();
    this.#endOfLine();
    if (at < 0) throw this.#damaged('acked, but never sent');
    if (!Number.isNaN(this.#entries.ackedUs[at])) throw this.#damaged('acked for the second time');
    this.#entries.ackedUs[at] = ackedUs;
    recordLatency(this.#ack, ackedUs - (this.#entries.sentUs[at] ?? 0));
    this.#counts.acked++;
  }

  #readResent(): void {
    const at = this.#entries.find(this.#integer(), this.#integer());
    this.#integer();
    this.#endOfLine();
    if (at < 0) throw this.#damaged('sent again, but never before');
    this.#entries.resent[at] = Math.min((this.#entries.resent[at] ?? 0) + 1, 255);
    this.#counts.resent++;
  }

  #device(header: LedgerHeader): number {
    const device = this.#integer();
    if (device < 0 || device >= header.devices) throw this.#damaged(`no device ${device}`);
    return device;
  }

  /** The next field as an integer; every field ends at a comma or the line's end. */
  #integer(): number {
    const start = this.#at;
    const negative = this.#bytes[start] === minus;
    if (negative) this.#at++;
    const firstDigit = this.#at;
    let value = 0;
    for (; this.#at < this.#to; this.#at++) {
      const byte = this.#bytes[this.#at] ?? 0;
      if (byte === comma) break;
      const digit = byte - digit0;
      if (digit < 0 || digit > 9) throw this.#damaged('not an integer');
      value = value * 10 + digit;
    }
    if (this.#at === firstDigit) throw this.#damaged('an integer is missing');
    this.#at++;
    return negative ? -value : value;
  }

  #decimal(): number {
    const text = this.#text();
    if (text === '') return NaN;
    const value = Number(text);
    if (!Number.isFinite(value)) throw this.#damaged(`"${text}" is no number`);
    return value;
  }

  #text(): string {
    if (this.#at > this.#to) throw this.#damaged('a field is missing');
    const found = this.#bytes.indexOf(comma, this.#at);
    const end = found < 0 || found > this.#to ? this.#to : found;
    const text = this.#bytes.toString('latin1', this.#at, end);
    this.#at = end + 1;
    return text;
  }

  #endOfLine(): void {
    if (this.#at !== this.#to + 1) throw this.#damaged('too many fields');
  }

  #json(): unknown {
    try {
      return JSON.parse(this.#bytes.toString('utf8', this.#at, this.#to));
    } catch (error) {
      throw this.#damaged('not JSON', error);
    }
  }

  #damaged(reason: string, cause?: unknown): LedgerError {
    return new LedgerError('ledger.damaged', `${this.#name}, line ${this.#lineNumber}: ${reason}`, cause);
  }
}
