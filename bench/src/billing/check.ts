/**
 * The verdict without which no figure counts (I3): the processor's own ledger has one charge for
 * each accepted transaction UUID.
 */
import { benchError } from '../errors.ts';
import type { CardProcessor, Contender, LedgerEntry } from './contenders.ts';

/**
 * Compares the accepted payments of all contenders with the ledger.
 * @returns the number of accepted payments
 * @throws MeshError `bench.not_one_charge`
 */
export async function checkCharges(
  processor: CardProcessor,
  contenders: readonly Contender[],
): Promise<number> {
  const ledger = await processor.ledger();
  let accepted = 0;
  for (const { name, callers, pool } of contenders) {
    const ids = await callers.call<string[]>('accepted');
    const rows = await pool.query<{ id: string; key: string }>(
      'SELECT transaction_id AS id, processor_key AS key FROM operations',
    );
    const mismatches = chargeMismatches(ids, new Map(rows.map(({ id, key }) => [id, key])), ledger);
    if (mismatches.length > 0)
      throw benchError(
        'bench.not_one_charge',
        `${name}: ${mismatches.length} of ${ids.length} accepted payments were not charged once: ${mismatches.slice(0, 3).join('; ')}`,
      );
    accepted += ids.length;
  }
  const charges = ledger.filter(isCharge).length;
  if (charges !== accepted)
    throw benchError('bench.not_one_charge', `${charges} charges for ${accepted} accepted payments`);
  return accepted;
}

/** One line for each accepted payment that does not have exactly one charge. */
export function chargeMismatches(
  accepted: readonly string[],
  processorKeys: ReadonlyMap<string, string>,
  ledger: readonly LedgerEntry[],
): string[] {
  const charges = new Map<string, number>();
  for (const entry of ledger.filter(isCharge)) charges.set(entry.key, (charges.get(entry.key) ?? 0) + 1);
  return accepted.flatMap((id) => {
    const count = charges.get(processorKeys.get(id) ?? '') ?? 0;
    return count === 1 ? [] : [`${id}: ${count} charges`];
  });
}

function isCharge({ kind, status }: LedgerEntry): boolean {
  return kind === 'charge' && status === 'charged';
}
