/**
 * The interface that every election strategy offers. Services depend on this file and on no
 * protocol.
 */
import type { ClaimCause, ClaimResult, Epoch, NodeId } from './types.ts';
import type { Role } from './views.ts';

/** The part of a service's log that an election writes to. */
export interface ElectionLog {
  info(entry: { event: string } & Record<string, unknown>): void;
}

/** What a service provides to its election. */
export interface ElectionHost {
  /**
   * Asks the fence for the next epoch. It must settle in bounded time; a rejection counts as
   * `failed`. A claim that wins must have made every older epoch stale.
   */
  claim(cause: ClaimCause): Promise<ClaimResult>;
  /**
   * Releases the title of this epoch gracefully: finishes the batch, ends the session and the
   * lease. Work that cannot be finished, because the node no longer reaches what it needs, is
   * aborted at once, since the successor waits for the release. Called once per epoch.
   */
  release(epoch: Epoch): Promise<void>;
  /**
   * Stops acting for this epoch at once: another coordinator may be acting already. It may be
   * called while `release` runs.
   */
  stepDown(epoch: Epoch): void;
  /** Reports a change of role. If `stepDown` is due too, it is called first. */
  onRole(role: Role, cause?: ClaimCause): void;
  /** Where the election writes its log events. Without it, none are written. */
  readonly log?: ElectionLog;
}

/**
 * The state of a node: what `GET /v1/coordinator` shows, plus `epoch` and `won` for logs and
 * metrics.
 */
export interface ElectionSnapshot {
  nodeId: NodeId;
  role: Role['role'];
  coordinator: { node: NodeId; epoch: Epoch } | null;
  /** The highest epoch that this node has heard of. */
  epoch: Epoch;
  fit: boolean;
  peers: { nodeId: NodeId; connected: boolean; fit: boolean }[];
  /**
   * Epochs that this node has won since it started, by cause, so that failovers and graceful
   * take-overs are counted separately.
   */
  won: Record<ClaimCause, number>;
}

/** One process's part in an election. */
export interface Election {
  start(): Promise<void>;
  /**
   * Hands leadership over gracefully if this node holds it, then leaves the election. Idempotent.
   */
  stop(): Promise<void>;
  /**
   * Sets whether this node could do the coordinator's work, which needs the database and the
   * gateway. Initially false.
   */
  setFit(fit: boolean): void;
  /**
   * Reports that the database refused a write because a higher epoch exists. `holder` is null if
   * only the epoch is known.
   */
  deposed(by: { holder: NodeId | null; epoch: Epoch }): void;
  snapshot(): ElectionSnapshot;
}
