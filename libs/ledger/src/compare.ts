/** Compares what was sent and acknowledged with what was stored and rejected (I1). */
import { parseReading, type LoadDocument } from '@thermomesh/contracts';
import { createLatencyHistogram, latencyOf, recordLatency } from './latency.ts';
import { fingerprint } from './lines.ts';
import type { Ledger } from './parse.ts';
import type { Comparison, Finding, RejectedRow, StoredRow } from './types.ts';

export interface CompareOptions {
  /** Findings listed of each kind. */
  examplesMax?: number;
}

type Rows<T> = AsyncIterable<T> | Iterable<T>;

/**
 * The verdict on one run. Rows may come in any order; they are those whose device id starts with the ledger's
 * `devicePrefix`, all of them and no others. Keeps two bytes an entry beside the ledger itself.
 */
export async function compare(
  ledger: Ledger,
  stored: Rows<StoredRow>,
  rejected: Rows<RejectedRow>,
  options: CompareOptions = {},
): Promise<Comparison> {
  const judge = new Judge(ledger, options.examplesMax ?? 20);
  for await (const row of stored) judge.addStored(row);
  for await (const row of rejected) judge.addRejected(row);
  return judge.verdict();
}

/** The document of `mesh load --json`. */
export function loadDocument(
  comparison: Comparison,
  { ratePerSecond }: { ratePerSecond: number },
): LoadDocument {
  const { sent, acked, stored, rejected, lost, duplicated, corrupted, ackMs, endToEndMs } = comparison;
  return { sent, acked, stored, rejected, lost, duplicated, corrupted, ackMs, endToEndMs, ratePerSecond };
}

/** Several runs as one; percentiles come from the merged histograms. */
export function addComparisons(list: readonly Comparison[]): Comparison {
  const total = emptyComparison();
  for (const one of list) {
    for (const name of countNames) total[name] += one[name];
    total.histograms.ack.add(one.histograms.ack);
    total.histograms.endToEnd.add(one.histograms.endToEnd);
    total.examples.push(...one.examples);
  }
  return withLatencies(total);
}

const countNames = [
  'sent',
  'acked',
  'stored',
  'rejected',
  'lost',
  'duplicated',
  'corrupted',
  'neverSent',
  'goodRejected',
  'otherReason',
  'unackedStored',
] as const;

function emptyComparison(): Comparison {
  const counts = Object.fromEntries(countNames.map((name) => [name, 0])) as Record<
    (typeof countNames)[number],
    number
  >;
  const histograms = { ack: createLatencyHistogram(), endToEnd: createLatencyHistogram() };
  const none = { p50: null, p99: null, max: null };
  return { ...counts, ackMs: none, endToEndMs: none, examples: [], histograms };
}

function withLatencies(comparison: Comparison): Comparison {
  const { ack, endToEnd } = comparison.histograms;
  return { ...comparison, ackMs: latencyOf(ack), endToEndMs: latencyOf(endToEnd) };
}

class Judge {
  readonly #ledger: Ledger;
  readonly #examplesMax: number;
  readonly #result = emptyComparison();
  /** How often each entry was found, up to 255. */
  readonly #stored: Uint8Array;
  readonly #rejected: Uint8Array;
  readonly #listed = new Map<Finding['kind'], number>();

  constructor(ledger: Ledger, examplesMax: number) {
    this.#ledger = ledger;
    this.#examplesMax = examplesMax;
    this.#stored = new Uint8Array(ledger.entries.count);
    this.#rejected = new Uint8Array(ledger.entries.count);
  }

  addStored(row: StoredRow): void {
    const { entries, header } = this.#ledger;
    const at = entries.find(this.#deviceOf(row.deviceId), row.seq);
    if (at < 0) {
      this.#result.neverSent++;
      this.#result.corrupted++;
      this.#list('never_sent', -1, 'stored, but nobody sent it', row);
      return;
    }
    count(this.#stored, at);
    const sentAtMs = header.startedAtMs + (entries.sentUs[at] ?? 0) / 1000;
    recordLatency(this.#result.histograms.endToEnd, (row.committedAtMs - sentAtMs) * 1000);
    const fault = this.#faultOf(at, row);
    if (fault === undefined) return;
    this.#result.corrupted++;
    this.#list('corrupted', at, fault, row);
  }

  /** A poison message is known by its bytes; whatever else was rejected must be a good reading, known by what it carries. */
  addRejected(row: RejectedRow): void {
    const device = row.deviceId === null ? -1 : this.#deviceOf(row.deviceId);
    const at = this.#ledger.entries.findPoison(device, fingerprint(row.raw));
    if (at >= 0) {
      count(this.#rejected, at);
      const expected = this.#ledger.entries.expectedReason(at);
      if (row.reason === expected) return;
      this.#result.otherReason++;
      this.#list('other_reason', at, `rejected as ${row.reason}, not as ${expected}`, printable(row));
      return;
    }
    const good = this.#goodReadingIn(device, row);
    if (good < 0) {
      this.#result.neverSent++;
      this.#list('never_sent', -1, `rejected as ${row.reason}, but nobody sent it`, printable(row));
      return;
    }
    count(this.#rejected, good);
    this.#result.goodRejected++;
    this.#list('good_rejected', good, `a good reading was rejected as ${row.reason}`, printable(row));
  }

  verdict(): Comparison {
    const { entries, sent, acked, ack } = this.#ledger;
    const result = this.#result;
    result.sent = sent;
    result.acked = acked;
    result.histograms.ack.add(ack);
    for (let at = 0; at < entries.count; at++) {
      const stored = this.#stored[at] ?? 0;
      const rejected = this.#rejected[at] ?? 0;
      const isAcked = !Number.isNaN(entries.ackedUs[at]);
      if (stored > 0) result.stored++;
      if (rejected > 0) result.rejected++;
      if (stored + rejected === 0) {
        if (!isAcked) continue;
        result.lost++;
        this.#list('lost', at, 'acked, but in neither table', null);
      } else {
        if (!isAcked) result.unackedStored++;
        if (stored + rejected === 1) continue;
        result.duplicated++;
        this.#list(
          'duplicated',
          at,
          `${stored} times in readings, ${rejected} times in rejected_readings`,
          null,
        );
      }
    }
    return withLatencies(result);
  }

  /** Which value differs from what was sent; undefined if none does. */
  #faultOf(at: number, row: StoredRow): string | undefined {
    const { entries } = this.#ledger;
    if (entries.isPoison(at)) return `stored, though it had to be rejected as ${entries.expectedReason(at)}`;
    if (row.measuredAtMs !== entries.measuredAtMs[at]) return 'measured_at differs';
    if (!sameReal(row.celsius, entries.celsius[at])) return 'celsius differs';
    if (!sameReal(row.setpointCelsius, entries.setpointCelsius[at])) return 'setpoint_celsius differs';
    if (!sameReal(row.humidityPercent, entries.humidityPercent[at])) return 'humidity_percent differs';
    if (row.heating !== entries.heating(at)) return 'heating differs';
    return undefined;
  }

  /** The entry of the good reading in these bytes, if it is one that was sent with these values; else -1. */
  #goodReadingIn(device: number, row: RejectedRow): number {
    if (device < 0 || row.deviceId === null) return -1;
    const parsed = parseReading(row.raw, row.deviceId);
    if (!('reading' in parsed)) return -1;
    const at = this.#ledger.entries.find(device, parsed.reading.seq);
    if (at < 0) return -1;
    return this.#faultOf(at, { ...parsed.reading, receivedAtMs: 0, committedAtMs: 0 }) === undefined
      ? at
      : -1;
  }

  /** The number of a device of this run; -1 for any other id, one with leading zeros included. */
  #deviceOf(deviceId: string): number {
    const { devicePrefix, devices } = this.#ledger.header;
    if (!deviceId.startsWith(devicePrefix)) return -1;
    const digits = deviceId.slice(devicePrefix.length);
    const device = Number(digits);
    return Number.isInteger(device) && device >= 0 && device < devices && String(device) === digits
      ? device
      : -1;
  }

  #list(
    kind: Finding['kind'],
    at: number,
    detail: string,
    found: (Partial<StoredRow> & object) | null,
  ): void {
    const listed = this.#listed.get(kind) ?? 0;
    if (listed >= this.#examplesMax) return;
    this.#listed.set(kind, listed + 1);
    const { entries, header } = this.#ledger;
    this.#result.examples.push({
      kind,
      deviceId: at < 0 ? (found?.deviceId ?? null) : `${header.devicePrefix}${entries.device[at]}`,
      number: at < 0 ? (found?.seq ?? null) : (entries.number[at] ?? null),
      detail,
      sent: at < 0 ? null : describeEntry(this.#ledger, at),
      found,
    });
  }
}

function count(column: Uint8Array, at: number): void {
  column[at] = Math.min((column[at] ?? 0) + 1, 255);
}

/** Equal as PostgreSQL's `real`; null is NaN in the columns. */
function sameReal(found: number | null, sent: number | undefined): boolean {
  return found === null ? Number.isNaN(sent) : Math.fround(found) === sent;
}

function printable(row: RejectedRow): Record<string, unknown> & { deviceId?: string; seq?: number } {
  return {
    ...(row.deviceId === null ? {} : { deviceId: row.deviceId }),
    ...(row.seq === null ? {} : { seq: row.seq }),
    reason: row.reason,
    raw: Buffer.from(row.raw.subarray(0, 200)).toString('latin1'),
    bytes: row.raw.byteLength,
  };
}

function describeEntry({ entries, header }: Ledger, at: number): object {
  const time = (us: number | undefined) =>
    us === undefined || Number.isNaN(us) ? null : new Date(header.startedAtMs + us / 1000).toISOString();
  const times = { sentAt: time(entries.sentUs[at]), ackedAt: time(entries.ackedUs[at]) };
  if (entries.isPoison(at)) return { ...times, expectedReason: entries.expectedReason(at) };
  const orNull = (value: number | undefined) => (value === undefined || Number.isNaN(value) ? null : value);
  return {
    ...times,
    measuredAtMs: orNull(entries.measuredAtMs[at]),
    celsius: orNull(entries.celsius[at]),
    setpointCelsius: orNull(entries.setpointCelsius[at]),
    humidityPercent: orNull(entries.humidityPercent[at]),
    heating: entries.heating(at),
  };
}
