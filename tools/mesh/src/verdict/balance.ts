/** I6: the accounts, exact at rest, within the window of batches in flight otherwise. */
import { setTimeout as delay } from 'node:timers/promises';
import type { Accounts, InvariantVerdict } from '@thermomesh/contracts';
import { unexplained } from './accounts.ts';

export interface BalanceOptions {
  sample: () => Promise<Accounts>;
  timeoutMs: number;
  pollMs?: number;
}

/**
 * Looks until the mesh is at rest, which is when two looks in a row show the same numbers and nothing buffered or in flight;
 * then the accounts must balance exactly. If it does not come to rest in time (a fleet runs), the bound of what is in flight
 * counts, and the detail says so.
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
    if (resting && difference === 0) return verdict(true, `${sum(accounts)}, exactly, at rest`);
    if (accounts.balanced === true) bounded = accounts;
    if (Date.now() > deadline) {
      if (resting) return verdict(false, `${sum(accounts)}: ${difference} unexplained at rest`);
      if (accounts.balanced === null) return verdict(false, `${sum(accounts)}: not every term could be read`);
      if (bounded === undefined || accounts.balanced === false) {
        return verdict(
          false,
          `${sum(accounts)}: ${difference} unexplained, at most ${accounts.inFlight} can be in flight`,
        );
      }
      return verdict(
        true,
        `${sum(bounded)} within ${bounded.inFlight} in flight: traffic goes on, so exact equality was not seen`,
      );
    }
    previous = accounts;
    await delay(pollMs);
  }
}

function sameTerms(a: Accounts | undefined, b: Accounts): boolean {
  if (a === undefined) return false;
  return (['accepted', 'stored', 'duplicate', 'rejected', 'buffered'] as const).every(
    (term) => a[term] === b[term],
  );
}

function sum({ accepted, stored, duplicate, rejected, buffered }: Accounts): string {
  const text = (value: number | null) => value ?? 'unknown';
  return `accepted ${text(accepted)} = stored ${text(stored)} + duplicate ${text(duplicate)} + rejected ${text(rejected)} + buffered ${text(buffered)}`;
}

function verdict(ok: boolean, detail: string): InvariantVerdict {
  return { id: 'I6', ok, detail };
}
