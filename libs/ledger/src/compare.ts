/**
 * Compares the messages that were sent and acknowledged with the rows that were stored and rejected
 * (I1).
 */
import { parseReading, type LoadDocument } from '@thermomesh/contracts';
import { createLatencyHistogram, latencyOf, recordLatency } from './latency.ts';
import { fingerprint, fingerprintDigits } from './lines.ts';
import type { Ledger } from './parse.ts';
import { createErasures } from './erasures.ts';
import type {
  Comparison,
  ErasedCountRow,
  Finding,
  RejectedRow,
  RejectionCountRow,
  StoredRow,
} from './types.ts';

export interface CompareOptions {
  /** Maximum number of examples of each kind. Default 20. */
  examplesMax?: number;
  /**
   * How many messages were rejected in all, by device and reason. Rejections of which only the
   * count is kept explain acked poison without a row. Default: every rejection has its row.
   */
  rejectionCounts?: Rows<RejectionCountRow>;
  /**
   * What operators have removed. It explains as many acked messages in neither table. Default:
   * nothing.
   */
  erased?: Rows<ErasedCountRow>;
  /**
   * True if the devices have sent more than the ledger tells: it is a part of a longer record, or
   * its writer still adds to it. A row without an entry is then no finding. Default: as the header
   * says.
   */
  partial?: boolean;
}

type Rows<T> = AsyncIterable<T> | Iterable<T>;

/**
 * Judges one run. Rows may come in any order; they must be exactly the rows whose device id starts
 * with the ledger's `devicePrefix`. Uses two bytes an entry beside the ledger itself.
 */
export async function compare(
  ledger: Ledger,
  stored: Rows<StoredRow>,
  rejected: Rows<RejectedRow>,
  options: CompareOptions = {},
): Promise<Comparison> {
  const { examplesMax = 20, partial = ledger.header.partial === true } = options;
  const judge = new Judge(ledger, examplesMax, partial);
  for await (const row of stored) judge.addStored(row);
  for await (const row of rejected) judge.addRejected(row);
  for await (const row of options.rejectionCounts ?? []) judge.addCount(row);
  for await (const row of options.erased ?? []) judge.addErased(row);
  return judge.verdict();
}

/** Makes the document of `mesh load --json`. */
export function loadDocument(
  comparison: Comparison,
  { ratePerSecond }: { ratePerSecond: number },
): LoadDocument {
  const { sent, acked, stored, rejected, lost, duplicated, corrupted, ackMs, endToEndMs } = comparison;
  return { sent, acked, stored, rejected, lost, duplicated, corrupted, ackMs, endToEndMs, ratePerSecond };
}

/** Adds several runs up. Percentiles come from the merged histograms. */
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
  'erased',
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
  readonly #partial: boolean;
  readonly #result = emptyComparison();
  /** How often each entry was found, up to 255. */
  readonly #stored: Uint8Array;
  readonly #rejected: Uint8Array;
  /** Rows seen of each device and reason, then the rejections that have a count and no row. */
  readonly #rowsOfKind = new Map<string, number>();
  readonly #withoutRow = new Map<string, number>();
  readonly #erasures = createErasures();
  readonly #listed = new Map<Finding['kind'], number>();

  constructor(ledger: Ledger, examplesMax: number, partial: boolean) {
    this.#ledger = ledger;
    this.#examplesMax = examplesMax;
    this.#partial = partial;
    this.#stored = new Uint8Array(ledger.entries.count);
    this.#rejected = new Uint8Array(ledger.entries.count);
  }

  addStored(row: StoredRow): void {
    const { entries, header } = this.#ledger;
    const at = entries.find(this.#deviceOf(row.deviceId), row.seq);
    if (at < 0) {
      if (this.#partial) return;
      this.#result.neverSent++;
      this.#result.corrupted++;
      this.#list('never_sent', -1, 'stored, but never sent', row);
      return;
    }
    if (this.#isOfAnotherLife(at, row)) return;
    count(this.#stored, at);
    const sentAtMs = header.startedAtMs + (entries.sentUs[at] ?? 0) / 1000;
    recordLatency(this.#result.histograms.endToEnd, (row.committedAtMs - sentAtMs) * 1000);
    const difference = this.#differenceOf(at, row);
    if (difference === undefined) return;
    this.#result.corrupted++;
    this.#list('corrupted', at, difference, row);
  }

  /**
   * A poison message is recognised by its bytes. Any other rejected message must be a good reading,
   * recognised by its content.
   */
  addRejected(row: RejectedRow): void {
    const device = row.deviceId === null ? -1 : this.#deviceOf(row.deviceId);
    const kind = kindOf(device, row.reason);
    this.#rowsOfKind.set(kind, (this.#rowsOfKind.get(kind) ?? 0) + 1);
    const sha = row.sha256?.slice(0, fingerprintDigits) ?? fingerprint(row.raw);
    const at = this.#ledger.entries.findPoison(device, sha);
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
      if (this.#partial) return;
      this.#result.neverSent++;
      this.#list('never_sent', -1, `rejected as ${row.reason}, but never sent`, printable(row));
      return;
    }
    count(this.#rejected, good);
    this.#result.goodRejected++;
    this.#list('good_rejected', good, `a good reading was rejected as ${row.reason}`, printable(row));
  }

  /** Takes a count; called after all rejected rows. */
  addCount({ deviceId, reason, count: total }: RejectionCountRow): void {
    const kind = kindOf(this.#deviceOf(deviceId), reason);
    this.#withoutRow.set(kind, Math.max(0, total - (this.#rowsOfKind.get(kind) ?? 0)));
  }

  addErased(row: ErasedCountRow): void {
    this.#erasures.add(this.#deviceOf(row.deviceId), row);
  }

  verdict(): Comparison {
    const { entries, sent, acked, ack } = this.#ledger;
    const result = this.#result;
    result.sent = sent;
    result.acked = acked;
    result.histograms.ack.add(ack);
    for (let at = 0; at < entries.count; at++) {
      const stored = this.#stored[at] ?? 0;
      const isAcked = !Number.isNaN(entries.ackedUs[at]);
      const rejected =
        (this.#rejected[at] ?? 0) || (isAcked && stored === 0 && this.#takeCounted(at) ? 1 : 0);
      if (stored > 0) result.stored++;
      if (rejected > 0) result.rejected++;
      if (stored + rejected === 0) {
        if (!isAcked) continue;
        const device = entries.device[at] ?? -1;
        if (this.#erasures.take(device, entries.number[at] ?? -1, entries.expectedReason(at))) {
          result.erased++;
          continue;
        }
        result.lost++;
        this.#list('lost', at, 'acked, but in neither table', null);
      } else {
        if (!isAcked) result.unackedStored++;
        // A rejected message that its device sends again is rejected again.
        const sentTimes = 1 + (entries.resent[at] ?? 0);
        if (stored === 0 ? rejected <= sentTimes : stored + rejected === 1) continue;
        result.duplicated++;
        this.#list(
          'duplicated',
          at,
          `${stored} times in readings, ${rejected} times in rejected_readings, sent ${sentTimes} times`,
          null,
        );
      }
    }
    return withLatencies(result);
  }

  get #incarnation(): number {
    return this.#ledger.header.incarnation ?? 0;
  }

  /**
   * True for a row with the seq of an entry that belongs to another part of a longer record: the
   * device has counted from 0 again since. An operator may have opened a life for a device that
   * names none; its rows have the values of the entry.
   */
  #isOfAnotherLife(at: number, row: StoredRow): boolean {
    if (!this.#partial || row.incarnation === this.#incarnation) return false;
    return this.#incarnation > 0 || this.#differenceOf(at, row) !== undefined;
  }

  /** True if a rejection without a row is left that can be this poison message's. */
  #takeCounted(at: number): boolean {
    const { entries } = this.#ledger;
    const reason = entries.expectedReason(at);
    if (reason === undefined) return false;
    const kind = kindOf(entries.device[at] ?? -1, reason);
    const left = this.#withoutRow.get(kind) ?? 0;
    if (left > 0) this.#withoutRow.set(kind, left - 1);
    return left > 0;
  }

  /** Returns which value differs from the sent one; undefined if none does. */
  #differenceOf(at: number, row: StoredRow): string | undefined {
    const { entries } = this.#ledger;
    if (entries.isPoison(at)) return `stored, though it had to be rejected as ${entries.expectedReason(at)}`;
    if (!this.#partial && row.incarnation !== this.#incarnation) return 'incarnation differs';
    if (row.measuredAtMs !== entries.measuredAtMs[at]) return 'measured_at differs';
    if (!sameReal(row.celsius, entries.celsius[at])) return 'celsius differs';
    if (!sameReal(row.setpointCelsius, entries.setpointCelsius[at])) return 'setpoint_celsius differs';
    if (!sameReal(row.humidityPercent, entries.humidityPercent[at])) return 'humidity_percent differs';
    if (row.heating !== entries.heating(at)) return 'heating differs';
    return undefined;
  }

  /** The entry of the good reading in these bytes, if it was sent with these values; else -1. */
  #goodReadingIn(device: number, row: RejectedRow): number {
    if (device < 0 || row.deviceId === null) return -1;
    const parsed = parseReading(row.raw, row.deviceId);
    if (!('reading' in parsed)) return -1;
    const at = this.#ledger.entries.find(device, parsed.reading.seq);
    if (at < 0) return -1;
    return this.#differenceOf(at, { ...parsed.reading, receivedAtMs: 0, committedAtMs: 0 }) === undefined
      ? at
      : -1;
  }

  /** The number of a device of this run; -1 for any other id, also for one with leading zeros. */
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

function kindOf(device: number, reason: string): string {
  return `${device}/${reason}`;
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
