/** The words of the life of one payment. */

/** What the processor said for good. */
export type Outcome = 'charged' | 'declined';

/** What is durable of a payment, as the store reads it: all that survives a crash. */
export interface PaymentRecord {
  readonly phase: 'claimed' | 'charging' | 'answered';
  /** Who may act on it: grows by one with each take-over, and fences every write. */
  readonly attempt: number;
  /** Hash of the caller's parameters. */
  readonly fingerprint: string;
  /** Set exactly when `phase` is `answered`; never changes afterwards. */
  readonly outcome: Outcome | null;
}

/** Where one worker stands with one payment. `fenced` and `answered` are its ends. */
export interface PaymentState {
  readonly phase:
    | 'unclaimed'
    | 'waiting'
    | 'claimed'
    | 'charging'
    | 'charged'
    | 'declined'
    | 'answered'
    | 'released'
    | 'fenced';
  readonly attempt: number;
  /** Charges sent by this attempt. */
  readonly sends: number;
  readonly outcome: Outcome | null;
}

/** What happens to a worker. Replies of store and processor are events too: nothing is taken to have worked until it says so. */
export type PaymentEvent =
  /** A caller asks; nobody has looked into the store yet. */
  | { readonly type: 'asked' }
  /** The key was free and is this worker's now. */
  | { readonly type: 'claimWon' }
  /** The store holds the key already. `leaseOver`: by the store's clock its holder may be taken for dead. */
  | {
      readonly type: 'found';
      readonly record: PaymentRecord;
      readonly fingerprint: string;
      readonly leaseOver: boolean;
    }
  /** The sweeper found a payment without an answer whose lease is over. */
  | { readonly type: 'swept'; readonly record: PaymentRecord }
  | { readonly type: 'tookOver'; readonly attempt: number }
  /** "Under way" is durable, and the lease is new. */
  | { readonly type: 'recorded' }
  | { readonly type: 'processorAnswered'; readonly outcome: Outcome }
  /** No answer, an unreadable one, a 5xx, "unknown key": it may have charged, or may still be about to. */
  | { readonly type: 'processorUnknown' }
  /** Outcome, ledger entries and answer are durable, in one transaction. */
  | { readonly type: 'committed' }
  /** The store refused a write: another attempt holds the payment. */
  | { readonly type: 'fenced' };

/** What the worker has to do next. */
export type PaymentEffect =
  /** Claim the key: one INSERT … ON CONFLICT. Answered by `claimWon` or `found`. */
  | { readonly type: 'claim' }
  /** Take the payment from the holder of `from`. Answered by `tookOver` or `fenced`. */
  | { readonly type: 'takeOver'; readonly from: number }
  /** Make "under way" durable and renew the lease. Answered by `recorded` or `fenced`. */
  | { readonly type: 'record'; readonly attempt: number }
  /** Send the charge under the derived key. Answered by `processorAnswered` or `processorUnknown`. */
  | { readonly type: 'charge'; readonly attempt: number }
  /** The same again, under the same key, after a pause. */
  | { readonly type: 'chargeAgain'; readonly attempt: number }
  /** Write outcome, ledger and answer in one transaction. Answered by `committed` or `fenced`. */
  | { readonly type: 'commit'; readonly attempt: number; readonly outcome: Outcome }
  /** Leave it to the sweeper. */
  | { readonly type: 'release'; readonly attempt: number }
  /** Give the stored answer. `replayed`: another worker or an earlier call made it. */
  | { readonly type: 'answer'; readonly outcome: Outcome; readonly replayed: boolean }
  /** Wait for the holder, for a bounded time. */
  | { readonly type: 'wait' }
  /** The key was used with other parameters. */
  | { readonly type: 'refuse' };

export interface IdempotencyLimits {
  /** Charges that one attempt sends before it leaves the payment to the sweeper. */
  readonly sendsPerAttemptMax: number;
}
