/**
 * Judges I3: the card processor's own ledger against billing's books, and against what customers
 * have seen.
 */
import type { InvariantVerdict } from '@thermomesh/contracts';
import { messageOf, sleep } from '@thermomesh/runtime';
import type { SqlPool } from '@thermomesh/sql';
import { readOrders } from '../mesh/evidence/orders.ts';
import type { Mesh } from '../mesh/mesh.ts';
import { judgeOrders, processorKeyOf, type LedgerEntry } from '../mesh/payments/judge.ts';
import { processorOf, type ProcessorClient } from '../mesh/payments/processor-client.ts';
import { readRecords } from '../mesh/payments/records.ts';
import { broken, kept, notJudged } from './verdicts.ts';

/** A payment in billing's books. */
export interface BookedPayment {
  transactionId: string;
  caller: string;
  amountMinor: number;
  currency: string;
  /** Null while billing does not know the outcome. */
  outcome: 'charged' | 'declined' | null;
}

const paymentsSql = `
  SELECT transaction_id AS "transactionId", caller, amount_minor AS "amountMinor", currency,
    CASE WHEN phase = 'answered' THEN outcome END AS outcome
  FROM operations WHERE kind = 'charge'`;
const findingsShown = 5;
/** The two sides cannot be read at the same moment, so a finding must still be there later. */
const pauseMs = 500;
const triesMax = 10;

/** Judges every charge. A mesh whose processor cannot be asked is not judged. */
export async function judgeCharges(mesh: Mesh, pool: SqlPool): Promise<InvariantVerdict> {
  if (!(mesh.run()?.processes ?? []).some(({ role }) => role === 'card-processor'))
    return notJudged('I3', `the mesh "${mesh.name}" runs no payments`);
  try {
    const processor = processorOf(mesh);
    for (let tries = 1; ; tries += 1) {
      const verdict = await judgeOnce(mesh, pool, processor);
      if (verdict.ok !== false || tries === triesMax) return verdict;
      await sleep(pauseMs);
    }
  } catch (error) {
    return notJudged('I3', messageOf(error));
  }
}

async function judgeOnce(mesh: Mesh, pool: SqlPool, processor: ProcessorClient): Promise<InvariantVerdict> {
  // The processor first: what it has charged later is in the books as not yet answered, or later.
  const ledger = await processor.charges();
  const payments: BookedPayment[] = [];
  for await (const row of pool.stream<BookedPayment & Record<string, unknown>>(paymentsSql))
    payments.push(row);
  const findings = findChargeFaults(ledger, payments);
  let orders = 0;
  for (const run of readOrders(mesh)) {
    orders += run.orders.length;
    const records = await readRecords(pool, run.payerPrefix);
    const none = { min: 0, max: -1 };
    const seen = judgeOrders({ orders: run.orders, ...records, ledger, amounts: none, late: new Set() });
    // An order that is still open is a matter of I5.
    findings.push(
      ...seen
        .filter(({ kind }) => kind !== 'in-doubt')
        .map(({ key, kind, detail }) => `${kind} ${key}: ${detail}`),
    );
  }
  if (ledger.length === 0 && payments.length === 0 && orders === 0)
    return notJudged('I3', 'there was no payment yet: "mesh payments" makes some');
  const charged = ledger.filter(({ status }) => status === 'charged').length;
  const seen = `the processor's ledger has ${charged} charges, billing ${payments.length} payments, customers ${orders} orders`;
  if (findings.length === 0) return kept('I3', seen);
  return broken(
    'I3',
    [`${findings.length} findings; ${seen}`, ...findings.slice(0, findingsShown)].join('; '),
  );
}

/**
 * Compares the processor's ledger with the books: each key is charged at most once, each charge has
 * a payment with the same amount, and each payment that is answered as charged has its charge.
 */
export function findChargeFaults(
  ledger: readonly LedgerEntry[],
  payments: readonly BookedPayment[],
): string[] {
  const findings: string[] = [];
  // A processor without idempotency appends something to the key.
  const keyOf = ({ key }: LedgerEntry) => key.split('/')[0] ?? key;
  const charges = Map.groupBy(
    ledger.filter(({ status }) => status === 'charged'),
    keyOf,
  );
  for (const [key, some] of charges)
    if (some.length > 1) findings.push(`the processor charged ${key} ${some.length} times`);
  const explained = new Set<string>();
  for (const { transactionId, caller, amountMinor, currency, outcome } of payments) {
    const key = processorKeyOf(transactionId, caller);
    explained.add(key);
    const [charge] = charges.get(key) ?? [];
    const what = `payment ${transactionId} of ${caller}`;
    if (outcome === 'charged' && charge === undefined)
      findings.push(`${what} is answered as charged, but the processor has no charge`);
    if (outcome === 'declined' && charge !== undefined)
      findings.push(`${what} is answered as declined, but the processor has charged it`);
    if (charge !== undefined && (charge.amountMinor !== amountMinor || charge.currency !== currency))
      findings.push(
        `${what} is over ${amountMinor} ${currency}, the processor charged ${charge.amountMinor} ${charge.currency}`,
      );
  }
  for (const key of charges.keys())
    if (!explained.has(key)) findings.push(`the processor charged ${key}, which no payment explains`);
  return findings;
}
