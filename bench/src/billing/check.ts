/** The verdict without which no figure counts (I3): one charge for each accepted transaction UUID, by the processor's own ledger. */
import { MeshError } from '@thermomesh/runtime';
import type { CardProcessor, Contender, LedgerEntry } from './contenders.ts';

/** @throws MeshError `bench.not_one_charge` */
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
    const faults = chargeFaults(ids, new Map(rows.map(({ id, key }) => [id, key])), ledger);
    if (faults.length > 0)
      throw new MeshError(
        'bench.not_one_charge',
        `${name}: ${faults.length} of ${ids.length} accepted payments were not charged once: ${faults.slice(0, 3).join('; ')}`,
      );
    accepted += ids.length;
  }
  const charges = ledger.filter(isCharge).length;
  if (charges !== accepted)
    throw new MeshError('bench.not_one_charge', `${charges} charges for ${accepted} accepted payments`);
  return accepted;
}

/** One line for each accepted payment that does not have exactly one charge. */
export function chargeFaults(
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
