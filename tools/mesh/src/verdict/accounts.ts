/** I6 from what the gateway and PostgreSQL say. */
import type { Accounts, AccountsDocument, BrokerDocument } from '@thermomesh/contracts';

/** Answers in the order in which they were asked for; undefined where none came. */
export interface AccountsSample {
  before: BrokerDocument | undefined;
  accounts: AccountsDocument | undefined;
  after: BrokerDocument | undefined;
}

/**
 * The accounts as one statement. The two sides cannot be read at the same moment, so PostgreSQL is asked between two looks at the
 * gateway: with a = accepted − buffered (what the coordinator has acknowledged) and s = stored + duplicate + rejected,
 * a(before) <= s <= a(after) + in flight(after) always holds, because a PUBACK leaves only after COMMIT. So the difference is at
 * most the larger of what was acknowledged between the looks and what is in flight: `inFlight` is that bound.
 */
export function accountsOf({ before, accounts, after }: AccountsSample): Accounts {
  const broker = after ?? before;
  const log = accounts?.logs.find((entry) => entry.log === broker?.log);
  // A store of which PostgreSQL has not seen a message yet has no entry.
  const terms = accounts === undefined ? undefined : (log ?? { stored: 0, duplicate: 0, rejected: 0 });
  const known = {
    accepted: broker?.counters.accepted ?? null,
    stored: terms?.stored ?? null,
    duplicate: terms?.duplicate ?? null,
    rejected: terms?.rejected ?? null,
    buffered: broker?.counters.buffered ?? null,
  };
  if (before === undefined || after === undefined || terms === undefined || before.log !== after.log) {
    return { ...known, inFlight: broker?.drain.inFlight ?? null, balanced: null };
  }
  const acknowledged = (document: BrokerDocument) => document.counters.accepted - document.counters.buffered;
  const meanwhile = Math.max(0, acknowledged(after) - acknowledged(before));
  const inFlight = Math.max(after.drain.inFlight, meanwhile);
  const difference = acknowledged(after) - (terms.stored + terms.duplicate + terms.rejected);
  // Between two coordinators nobody knows how many of the buffered ones were committed but not acknowledged.
  const unknown = difference < -inFlight && !(after.drain.connected && before.drain.connected);
  return { ...known, inFlight, balanced: unknown ? null : Math.abs(difference) <= inFlight };
}

/** Messages that the accounts cannot explain beyond the bound; 0 if all is well. */
export function unexplained(accounts: Accounts): number | null {
  const { accepted, stored, duplicate, rejected, buffered } = accounts;
  if (accepted === null || stored === null || duplicate === null || rejected === null || buffered === null)
    return null;
  return accepted - (stored + duplicate + rejected + buffered);
}
