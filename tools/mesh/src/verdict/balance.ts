/** Judges I6: the accounts balance exactly at rest, and within the batches in flight otherwise. */
import type { Accounts, InvariantVerdict } from '@thermomesh/contracts';
import { sleep } from '@thermomesh/runtime';
import { unexplained } from '../mesh/accounts.ts';
import { broken, kept, notJudged } from './verdicts.ts';

export interface BalanceOptions {
  sample: () => Promise<Accounts>;
  timeoutMs: number;
  pollMs?: number;
}

/**
 * Samples until the mesh is at rest, which means two equal samples in a row with nothing buffered
 * or in flight; then the accounts must balance exactly. If the mesh does not come to rest in time
 * (for example with a fleet), the bound of what is in flight applies, and the detail mentions it.
 */
export async function judgeBalance({
  sample,
  timeoutMs,
  pollMs = 100,
}: BalanceOptions): Promise<InvariantVerdict> {
  const deadline = Date.now() + timeoutMs;
  let previous: Accounts | undefined;
  let bounded: Accounts | undefined;
  for (;;) {
    const accounts = await sample();
    const difference = unexplained(accounts);
    const resting = accounts.buffered === 0 && accounts.inFlight === 0 && sameTerms(previous, accounts);
    if (resting && difference === 0)
      return accounts.accepted === 0
        ? notJudged('I6', 'nothing was accepted yet, so there is nothing to balance')
        : kept('I6', `${sum(accounts)}, exactly, at rest`);
    if (accounts.balanced === true) bounded = accounts;
    if (Date.now() > deadline) {
      if (accounts.balanced === null || difference === null)
        return notJudged('I6', `not every term could be read; ${sum(accounts)}`);
      if (resting) return broken('I6', `${sum(accounts)}: ${difference} unexplained at rest`);
      if (bounded === undefined || accounts.balanced === false) {
        return broken(
          'I6',
          `${sum(accounts)}: ${difference} unexplained, at most ${accounts.inFlight} can be in flight`,
        );
      }
      return kept(
        'I6',
        `${sum(bounded)} within ${bounded.inFlight} in flight: traffic continues, so exact equality was not seen`,
      );
    }
    previous = accounts;
    await sleep(pollMs);
  }
}

function sameTerms(a: Accounts | undefined, b: Accounts): boolean {
  if (a === undefined) return false;
  return (['accepted', 'stored', 'duplicate', 'rejected', 'buffered'] as const).every(
    (term) => a[term] === b[term],
  );
}

function sum({ accepted, stored, duplicate, rejected, buffered, acceptedGap }: Accounts): string {
  const text = (value: number | null) => value ?? 'unknown';
  const gap = acceptedGap === undefined ? '' : ` + ${acceptedGap} that this database lacks, as accepted`;
  return `accepted ${text(accepted)} = stored ${text(stored)} + duplicate ${text(duplicate)} + rejected ${text(rejected)} + buffered ${text(buffered)}${gap}`;
}
