/** Judges a payment run from records that are independent of each other. Pure. */
import { createHash } from 'node:crypto';
import type { PaymentFinding, PaymentsDocument } from '@thermomesh/contracts';
import type { FinalAnswer, Order } from '../evidence/order.ts';

/** A row of the table of checkouts. */
export interface CheckoutRow {
  checkoutId: string;
  key: string;
  status: string;
  transactionId: string;
  payer: string;
  amountMinor: number;
  currency: string;
}

/** A payment in billing, with what is posted for it. */
export interface BookRow {
  transactionId: string;
  payer: string;
  amountMinor: number;
  currency: string;
  /** False if billing does not know the outcome yet. */
  answered: boolean;
  outcome: 'charged' | 'declined' | null;
  /** The amount that came from the processor by the books; null if nothing is posted. */
  postedMinor: number | null;
}

/** A charge in the processor's own ledger. */
export interface LedgerEntry {
  key: string;
  status: string;
  amountMinor: number;
  currency: string;
}

export interface Evidence {
  orders: readonly Order[];
  checkouts: readonly CheckoutRow[];
  books: readonly BookRow[];
  /** Every decision of the processor since the run began, for any caller. */
  ledger: readonly LedgerEntry[];
  /** Range of amounts that only this run uses. */
  amounts: { min: number; max: number };
  /** Keys of orders without a final answer in time. */
  late: ReadonlySet<string>;
}

export type Verdict = Pick<
  PaymentsDocument,
  | 'requests'
  | 'acknowledged'
  | 'uuids'
  | 'accepted'
  | 'charged'
  | 'declined'
  | 'failed'
  | 'lost'
  | 'doubled'
  | 'differing'
  | 'inDoubt'
  | 'sums'
> & { ok: boolean; findings: PaymentFinding[] };

/** Computed apart from billing's code, because a verifier must not rely on what it checks. */
export function processorKeyOf(transactionId: string, caller = 'gateway'): string {
  const text = JSON.stringify(['thermomesh.billing', caller, 'charge', transactionId]);
  return `tm_${createHash('sha256').update(text).digest('base64url')}`;
}

/** Compares all records, order by order and then in sum. */
export function judgePayments(evidence: Evidence): Verdict {
  const { orders } = evidence;
  const index = indexOf(evidence);
  const findings: PaymentFinding[] = [];
  const verdict: Verdict = {
    ok: false,
    requests: sum(orders.map(({ requests }) => requests)),
    acknowledged: sum(orders.map(({ acknowledged }) => acknowledged)),
    uuids: orders.length,
    accepted: 0,
    charged: 0,
    declined: 0,
    failed: 0,
    lost: 0,
    doubled: 0,
    differing: 0,
    inDoubt: 0,
    sums: {
      accepted: 0,
      ledger: sum(index.ownCharges.map(({ amountMinor }) => amountMinor)),
      books: sum(evidence.books.map(({ postedMinor }) => postedMinor ?? 0)),
      checkouts: sum(
        evidence.checkouts.filter(({ status }) => status === 'charged').map(({ amountMinor }) => amountMinor),
      ),
    },
    findings,
  };
  for (const order of orders) {
    const found = judgeOrder(order, index, evidence.late);
    count(verdict, order, found);
    findings.push(...found.findings);
  }
  for (const entry of index.strays) {
    verdict.doubled += 1;
    const detail = `the processor charged ${entry.amountMinor} ${entry.currency} under ${entry.key}, which no order explains`;
    findings.push({ kind: 'doubled', key: '', detail });
  }
  const { accepted, ledger, books, checkouts } = verdict.sums;
  if (accepted !== ledger || ledger !== books || books !== checkouts) {
    const detail = `the sums differ: accepted ${accepted}, ledger ${ledger}, books ${books}, checkouts ${checkouts}`;
    findings.push({ kind: 'differs', key: '', detail });
  }
  verdict.ok = findings.length === 0 && verdict.acknowledged === verdict.requests;
  return verdict;
}

/**
 * What is wrong with the orders, without the sums and without charges that belong to no order: for
 * orders whose customers may have left before they read a final answer.
 */
export function judgeOrders(evidence: Evidence): PaymentFinding[] {
  const index = indexOf(evidence);
  return evidence.orders.flatMap((order) => judgeOrder(order, index, evidence.late).findings);
}

interface Index {
  rows: Map<string, CheckoutRow[]>;
  books: Map<string, BookRow>;
  /** Charges by derived key; a processor without idempotency appends something to the key. */
  charges: Map<string, LedgerEntry[]>;
  /** Derived keys for which the processor has declined something. */
  declines: Set<string>;
  ownCharges: LedgerEntry[];
  strays: LedgerEntry[];
}

function indexOf({ checkouts, books, ledger, amounts }: Evidence): Index {
  const rows = groupBy(checkouts, ({ key }) => key);
  const derivedKeyOf = ({ key }: LedgerEntry) => key.split('/')[0] ?? key;
  const charges = groupBy(
    ledger.filter(({ status }) => status === 'charged'),
    derivedKeyOf,
  );
  const known = new Set(checkouts.map(({ transactionId }) => processorKeyOf(transactionId)));
  const all = [...charges].flatMap(([key, entries]) => entries.map((entry) => ({ key, entry })));
  const isOurs = ({ amountMinor }: LedgerEntry) => amountMinor >= amounts.min && amountMinor <= amounts.max;
  return {
    rows,
    books: new Map(books.map((book) => [book.transactionId, book])),
    charges,
    declines: new Set(ledger.filter(({ status }) => status === 'declined').map(derivedKeyOf)),
    ownCharges: all.filter(({ key, entry }) => known.has(key) || isOurs(entry)).map(({ entry }) => entry),
    strays: all.filter(({ key, entry }) => !known.has(key) && isOurs(entry)).map(({ entry }) => entry),
  };
}

interface Judged {
  charges: LedgerEntry[];
  final: FinalAnswer | undefined;
  inDoubt: boolean;
  findings: PaymentFinding[];
}

function judgeOrder(order: Order, index: Index, late: ReadonlySet<string>): Judged {
  const findings: PaymentFinding[] = [];
  const note = (kind: PaymentFinding['kind'], detail: string) =>
    findings.push({ kind, key: order.key, detail });
  const rows = index.rows.get(order.key) ?? [];
  const [row] = rows;
  const keys = rows.map(({ transactionId }) => processorKeyOf(transactionId));
  const charges = keys.flatMap((key) => index.charges.get(key) ?? []);
  const declined = keys.some((key) => index.declines.has(key));
  const [final] = order.finals.values();
  const accepted = order.checkoutIds.size > 0;
  if (order.refused !== undefined) note('lost', `a request was refused: ${order.refused}`);
  if (order.checkoutIds.size > 1 || rows.length > 1)
    note(
      'doubled',
      `one key, several checkouts: ${[...order.checkoutIds].join(', ')}; ${rows.length} in the table`,
    );
  if (charges.length > 1) note('doubled', `the processor charged it ${charges.length} times`);
  if (accepted && row === undefined)
    note('lost', `accepted as ${[...order.checkoutIds].join(', ')}, but not in the table`);
  if (final?.status === 'charged' && charges.length === 0)
    note('lost', 'its customer read that it is charged, but the processor has no charge');
  // Every order of a run is valid: only the processor may refuse it, and that is `declined`.
  if (final?.status === 'failed') note('lost', 'a valid order was ended as failed');
  const book = row === undefined ? undefined : index.books.get(row.transactionId);
  const inDoubt = accepted && (final === undefined || late.has(order.key) || book?.answered === false);
  if (inDoubt) note('in-doubt', final === undefined ? 'no final answer' : 'its final answer came late');
  for (const difference of differences(order, { row, book, charges, declined, final }))
    note('differs', difference);
  return { charges, final, inDoubt, findings };
}

/** The differences between any two records of one order. */
function* differences(
  order: Order,
  found: {
    row: CheckoutRow | undefined;
    book: BookRow | undefined;
    charges: LedgerEntry[];
    /** True if the processor's ledger has a decline. */
    declined: boolean;
    final: FinalAnswer | undefined;
  },
): Generator<string> {
  const { row, book, charges, declined, final } = found;
  const ordered = `${order.amountMinor} ${order.currency}`;
  const others = [
    ['the table of checkouts', row],
    ['billing', book],
    ['the final answer', final],
    ...charges.map((entry) => ['the processor', entry] as const),
  ] as const;
  for (const [who, other] of others) {
    if (other === undefined) continue;
    const said = `${other.amountMinor} ${other.currency}`;
    if (said !== ordered) yield `ordered ${ordered}, ${who} has ${said}`;
    if ('payer' in other && other.payer !== order.payer)
      yield `ordered by ${order.payer}, ${who} has ${other.payer}`;
  }
  if (row !== undefined && order.checkoutIds.size > 0 && !order.checkoutIds.has(row.checkoutId))
    yield `its customer got ${[...order.checkoutIds].join(', ')}, the table has ${row.checkoutId}`;
  if (order.finals.size > 1) yield `its customer read ${order.finals.size} different final answers`;
  if (final !== undefined && row !== undefined && final.status !== row.status)
    yield `its customer read ${final.status}, the table has ${row.status}`;
  if (final !== undefined && final.status !== 'charged' && charges.length > 0)
    yield `its customer read ${final.status}, but the processor has charged it`;
  if (final?.status === 'declined' && !declined)
    yield 'its customer read declined, but the processor has declined nothing';
  if (book?.answered === true && (book.outcome === 'charged') !== charges.length > 0)
    yield `billing has ${book.outcome ?? 'nothing'}, the processor has ${charges.length} charge(s)`;
  const posted = book?.postedMinor ?? 0;
  const due = book?.outcome === 'charged' ? order.amountMinor : 0;
  if (book !== undefined && posted !== due) yield `posted ${posted}, due ${due}`;
}

function count(verdict: Verdict, order: Order, { charges, final, inDoubt, findings }: Judged): void {
  const has = (kind: PaymentFinding['kind']) => findings.some((finding) => finding.kind === kind);
  if (order.checkoutIds.size > 0) verdict.accepted += 1;
  if (charges.length > 0) verdict.charged += 1;
  if (final?.status === 'declined') verdict.declined += 1;
  if (final?.status === 'failed') verdict.failed += 1;
  if (final?.status === 'charged') verdict.sums.accepted += order.amountMinor;
  verdict.doubled += Math.max(0, charges.length - 1);
  if (has('doubled') && charges.length <= 1) verdict.doubled += 1;
  if (has('lost')) verdict.lost += 1;
  if (has('differs')) verdict.differing += 1;
  if (inDoubt) verdict.inDoubt += 1;
}

function groupBy<T>(list: readonly T[], keyOf: (item: T) => string): Map<string, T[]> {
  const groups = new Map<string, T[]>();
  for (const item of list) {
    const key = keyOf(item);
    const group = groups.get(key);
    if (group === undefined) groups.set(key, [item]);
    else group.push(item);
  }
  return groups;
}

function sum(values: readonly number[]): number {
  return values.reduce((total, value) => total + value, 0);
}
