/** What a drain is given, what it offers, and the states of a term. */
import type { BackoffLimits, CrashHook } from '@thermomesh/runtime';
import type { DrainGap, DrainView, OtherDatabase } from '@thermomesh/contracts';
import type { Entry } from '../core/batch.ts';
import type { BatchLimits, DrainSource, DrainStore } from '../core/ports.ts';
import type { TermStoreOptions } from './term-store.ts';

/** What the drain does at a gap: it waits for an operator, or accepts the loss by itself. */
export type GapPolicy = 'stop' | 'accept';

export interface DrainOptions extends TermStoreOptions {
  nodeId: number;
  /** Opens the drain session at the gateway. */
  openSource: (epoch: number) => Promise<DrainSource>;
  /** Called before each batch, so that the limits can change while the node drains. */
  limits: () => BatchLimits;
  gapPolicy: GapPolicy;
  /**
   * UUID of the database that an operator has adopted: a log that was drained into another one may
   * go on in this one.
   */
  adoptDatabase?: string | undefined;
  retry: BackoffLimits;
  crash: CrashHook;
  /** Called when the fence has refused this node: another node is coordinator now. */
  onDeposed: (epoch: number) => void;
}

/** The log ids of a gap, by which an operator names it. */
export type GapName = Pick<DrainGap, 'log' | 'fromLogId' | 'toLogId'>;

/** What a replay did with a message. */
export type ReplayOutcome = Awaited<ReturnType<DrainStore['replay']>>;

/** One term as coordinator. */
export interface Drain {
  /** Resolves when the term is over; rejects only for a bug of this program. */
  readonly finished: Promise<void>;
  view(): DrainView;
  /**
   * Accepts that the messages of the gap at which the drain waits are lost, and lets it continue.
   * @throws MeshError `drain.no_such_gap`, `drain.not_coordinator`; or the error of the database
   */
  acceptGap(gap: GapName): Promise<DrainGap>;
  /**
   * Stores a rejected message that is a valid reading now, in its turn between two batches.
   * @param id of the row among the rejected messages
   * @throws MeshError `drain.not_coordinator`; SeqConflictError, DataRefusedError; or the error of
   *   the database
   */
  replay(id: number, entry: Entry): Promise<ReplayOutcome>;
  /**
   * Ends the term gracefully: commits and acknowledges the batch under way, then releases the drain
   * session and the lease.
   */
  release(): Promise<void>;
  /** Ends the term at once: it commits and acknowledges nothing more. */
  abort(): void;
}

/** True if both name the same log ids of the same log. */
export function isSameGap(one: GapName | undefined, other: GapName): boolean {
  return one?.log === other.log && one.fromLogId === other.fromLogId && one.toLogId === other.toLogId;
}

/** What a term does at this moment. */
export type DrainState =
  /** Connects to the gateway, and compares its log with the database. */
  | { state: 'opening' }
  | { state: 'draining' }
  /** Waits at a gap; `resume` compares again. */
  | { state: 'gap'; gap: DrainGap; resume: () => void }
  /** Waits because the database does not belong to the log. */
  | { state: 'other_database'; otherDatabase: OtherDatabase; resume: () => void };

/** The state for people and programs outside. */
export function viewOf(now: DrainState): DrainView {
  switch (now.state) {
    case 'opening':
    case 'draining':
      return { state: now.state, gap: null };
    case 'gap':
      return { state: 'gap', gap: now.gap };
    case 'other_database':
      return { state: 'other_database', gap: null, otherDatabase: now.otherDatabase };
  }
}
