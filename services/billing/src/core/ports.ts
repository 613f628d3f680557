/** What billing needs of the outside world; `adapters/` implements it. */
import type { PaymentView } from '@thermomesh/contracts';
import type { ProcessorAnswer } from './answer.ts';
import type { Operation, OperationKey } from './operation.ts';

/** What a claim needs besides the order itself. */
export interface NewOperation extends OperationKey {
  amountMinor: number;
  /** Hex. */
  fingerprint: string;
  processorKey: string;
  details:
    | { kind: 'charge'; payer: string; currency: string; tokenBox: Buffer }
    | { kind: 'refund'; paymentId: string };
}

/** The result of a claim. `exists`: the key is in use, by the operation that is returned. */
export interface Claimed {
  result: 'claimed' | 'exists';
  operation: Operation;
}

/** Why a refund is not claimed: its payment does not allow it. Nothing is stored. */
export type NotRefundable = 'unknown_payment' | 'pending' | 'not_charged' | 'exceeds';

/** The result of a claim; a refund may be refused. */
export type Claim = Claimed | { result: NotRefundable };

/**
 * The store of operations. It contains the attempt fence (I3): a write that returns false was
 * refused, because another attempt holds the operation or the operation is answered.
 */
export interface OperationStore {
  /** Stores the operation if its key is free; otherwise returns the operation that has the key. */
  claim(operation: NewOperation): Promise<Claim>;
  load(key: OperationKey): Promise<Operation | undefined>;
  /** Returns the operations among `keys` that are answered. */
  answered(keys: readonly OperationKey[]): Promise<Operation[]>;
  /** Returns unanswered operations whose lease has expired, oldest lease first. */
  inDoubt(rowsMax: number): Promise<Operation[]>;
  /**
   * Takes over from the attempt `from`.
   * @returns the number of the new attempt; undefined if `from` no longer holds the operation or
   *   has renewed its lease
   */
  takeOver(key: OperationKey, from: number): Promise<number | undefined>;
  recordCharging(key: OperationKey, attempt: number): Promise<boolean>;
  finish(key: OperationKey, attempt: number, answer: ProcessorAnswer, body: string): Promise<boolean>;
  /** Lets the lease expire `pauseMs` from now. */
  release(key: OperationKey, attempt: number, pauseMs: number): Promise<boolean>;
  /**
   * Drops answers and fingerprints that are older than `olderThanDays`. The keys stay in use.
   * @returns how many operations were retired
   */
  retire(olderThanDays: number, rowsMax: number): Promise<number>;
}

/**
 * What the processor replied. `reason` names the failure and contains nothing of the request, so it
 * may be logged.
 */
export type ProcessorReply = { known: true; answer: ProcessorAnswer } | { known: false; reason: string };

/** The card processor. */
export interface ProcessorClient {
  /**
   * Sends the operation under its derived key. A failure of the processor or of the connection is
   * an unknown reply, never an error.
   * @param paymentToken for charges
   */
  send(operation: Operation, paymentToken: string | undefined): Promise<ProcessorReply>;
  /** Closes its connections. */
  close(): void;
}

/** Which payments a list contains. */
export interface PaymentFilter {
  caller: string;
  limit: number;
  /** Only rows with a smaller id. */
  beforeId?: number;
  status?: PaymentView['status'];
  payer?: string;
  /** Created at or after, Unix ms. */
  fromMs?: number;
  /** Created before, Unix ms. */
  toMs?: number;
}

/** Reads of the HTTP routes. */
export interface PaymentQueries {
  payment(key: OperationKey): Promise<PaymentView | undefined>;
  /** Payments, newest first; `id` is the cursor. */
  payments(filter: PaymentFilter): Promise<(PaymentView & { id: number })[]>;
}
