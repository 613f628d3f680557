/**
 * The vocabulary of one payment: what is durable of it, what happens to the worker that handles it,
 * and what the worker does next.
 */

/** The processor's final decision. */
export type Outcome = 'charged' | 'declined';

/** The durable part of a payment, as the store reads it: all that survives a crash. */
export interface PaymentRecord {
  readonly phase: 'claimed' | 'charging' | 'answered';
  /**
   * Number of the worker that may act on the payment. Each take-over raises it by one, and the
   * store refuses writes of any other attempt.
   */
  readonly attempt: number;
  /** Hash of the caller's parameters. */
  readonly fingerprint: string;
  /** Set if and only if `phase` is `answered`; never changes afterwards. */
  readonly outcome: Outcome | null;
}

/** The state of one worker with one payment. `answered`, `released` and `fenced` are final. */
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
  /** Charges that this attempt has sent. */
  readonly sends: number;
  readonly outcome: Outcome | null;
}

/**
 * What happens to a worker. Replies of the store and the processor are events too: the worker takes
 * nothing for done until they confirm it.
 */
export type PaymentEvent =
  /** A caller asks for the payment; the store has not been read yet. */
  | { readonly type: 'asked' }
  /** The key was free; this worker holds it now. */
  | { readonly type: 'claimWon' }
  /**
   * The store holds the key already. `leaseOver`: by the store's clock the holder's lease is over,
   * so it may be taken for dead.
   */
  | {
      readonly type: 'found';
      readonly record: PaymentRecord;
      readonly fingerprint: string;
      readonly leaseOver: boolean;
    }
  /** The sweeper found an unanswered payment whose lease is over. */
  | { readonly type: 'swept'; readonly record: PaymentRecord }
  | { readonly type: 'tookOver'; readonly attempt: number }
  /** The phase `charging` is durable, and the lease is renewed. */
  | { readonly type: 'recorded' }
  | { readonly type: 'processorAnswered'; readonly outcome: Outcome }
  /**
   * No answer, an unreadable one, a 5xx or "unknown key": the processor may have charged, or may
   * still be about to.
   */
  | { readonly type: 'processorUnknown' }
  /** Outcome, ledger entries and answer are durable, written in one transaction. */
  | { readonly type: 'committed' }
  /** The store refused a write because another attempt holds the payment. */
  | { readonly type: 'fenced' };

/** What the worker has to do next. */
export type PaymentEffect =
  /** Claim the key: one INSERT … ON CONFLICT. Answered by `claimWon` or `found`. */
  | { readonly type: 'claim' }
  /** Take the payment over from attempt `from`. Answered by `tookOver` or `fenced`. */
  | { readonly type: 'takeOver'; readonly from: number }
  /** Make the phase `charging` durable and renew the lease. Answered by `recorded` or `fenced`. */
  | { readonly type: 'record'; readonly attempt: number }
  /**
   * Send the charge under the payment's derived key. Answered by `processorAnswered` or
   * `processorUnknown`.
   */
  | { readonly type: 'charge'; readonly attempt: number }
  /** Record and send the same charge again, under the same key, after a pause. */
  | { readonly type: 'chargeAgain'; readonly attempt: number }
  /** Write outcome, ledger and answer in one transaction. Answered by `committed` or `fenced`. */
  | { readonly type: 'commit'; readonly attempt: number; readonly outcome: Outcome }
  /** Leave the payment to the sweeper: end the lease now. */
  | { readonly type: 'release'; readonly attempt: number }
  /** Answer the caller. `replayed`: another worker or an earlier call has made the answer. */
  | { readonly type: 'answer'; readonly outcome: Outcome; readonly replayed: boolean }
  /** Wait for the holder's answer, for a bounded time. */
  | { readonly type: 'wait' }
  /** Refuse the call: the key was used with other parameters. */
  | { readonly type: 'refuse' };

/** The limits of a worker. */
export interface IdempotencyLimits {
  /** Charges that one attempt sends before it leaves the payment to the sweeper. */
  readonly sendsPerAttemptMax: number;
}
