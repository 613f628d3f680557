/** The accounts of I6, from the answers of the gateway and PostgreSQL. */
import type { Accounts, AccountsDocument, BrokerDocument } from '@thermomesh/contracts';

/** The answers in the order of the requests; undefined if there was no answer. */
export interface AccountsSample {
  before: BrokerDocument | undefined;
  accounts: AccountsDocument | undefined;
  after: BrokerDocument | undefined;
}

/**
 * The accounts as one statement. The two sides cannot be read at the same moment, so PostgreSQL is
 * asked between two looks at the gateway. Let a = accepted − buffered (what the coordinator has
 * acknowledged) and s = stored + duplicate + rejected + accepted gaps. Then a(before) <= s <=
 * a(after) + in flight(after) always holds, because a PUBACK leaves only after COMMIT. So the
 * difference is at most the larger of what was acknowledged between the looks and what is in
 * flight: `inFlight` is that bound.
 */
export function accountsOf({ before, accounts, after }: AccountsSample): Accounts {
  const broker = after ?? before;
  const log = accounts?.logs.find((entry) => entry.log === broker?.log);
  // PostgreSQL has no entry for a store from which it has not seen a message yet.
  const terms = accounts === undefined ? undefined : (log ?? { stored: 0, duplicate: 0, rejected: 0 });
  const acceptedGap = log?.acceptedGap ?? 0;
  const known = {
    accepted: broker?.counters.accepted ?? null,
    stored: terms?.stored ?? null,
    duplicate: terms?.duplicate ?? null,
    rejected: terms?.rejected ?? null,
    buffered: broker?.counters.buffered ?? null,
    ...(acceptedGap > 0 && { acceptedGap }),
    ...qos0Of(broker, accounts),
  };
  if (before === undefined || after === undefined || terms === undefined || before.log !== after.log) {
    return { ...known, inFlight: broker?.drain.inFlight ?? null, balanced: null };
  }
  const acknowledged = (document: BrokerDocument) => document.counters.accepted - document.counters.buffered;
  const meanwhile = Math.max(0, acknowledged(after) - acknowledged(before));
  const inFlight = Math.max(after.drain.inFlight, meanwhile);
  const difference = acknowledged(after) - (terms.stored + terms.duplicate + terms.rejected + acceptedGap);
  // Between two coordinators it is unknown how many buffered messages were committed but not
  // acknowledged.
  const unknown = difference < -inFlight && !(after.drain.connected && before.drain.connected);
  return { ...known, inFlight, balanced: unknown ? null : Math.abs(difference) <= inFlight };
}

/** The account of readings at QoS 0, outside I6; absent if neither side tells. */
function qos0Of(
  broker: BrokerDocument | undefined,
  accounts: AccountsDocument | undefined,
): Pick<Accounts, 'qos0'> {
  if (broker?.qos0 === undefined && accounts?.qos0 === undefined) return {};
  const mode = broker?.qos0?.mode ?? null;
  const waiting = broker?.qos0?.waiting ?? null;
  return { qos0: { mode, waiting, account: accounts?.qos0 ?? null } };
}

/**
 * Number of messages that the accounts do not explain; 0 if they balance, null if a term is
 * unknown.
 */
export function unexplained(accounts: Accounts): number | null {
  const { accepted, stored, duplicate, rejected, buffered, acceptedGap = 0 } = accounts;
  if (accepted === null || stored === null || duplicate === null || rejected === null || buffered === null)
    return null;
  return accepted - (stored + duplicate + rejected + buffered + acceptedGap);
}
