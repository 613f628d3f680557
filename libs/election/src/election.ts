/** What every election strategy offers, whatever its protocol: services depend on this and on nothing else here. */
import type { ClaimCause, ClaimResult, Epoch, NodeId } from './types.ts';
import type { Role } from './views.ts';

/** What a service does for the election. */
export interface ElectionHost {
  /**
   * Asks the fence for the next epoch. It must settle in bounded time; a rejection counts as `failed`. A claim that wins
   * must have made every older epoch stale.
   */
  claim(cause: ClaimCause): Promise<ClaimResult>;
  /**
   * Gives the title of this epoch back in order: finish the batch, end the session and the lease. What cannot be finished, because
   * the node does not reach it any more, is ended at once: the successor waits for this. Called once per epoch.
   */
  release(epoch: Epoch): Promise<void>;
  /** Stops acting for this epoch at once, in order or not: another coordinator may be acting already. */
  stepDown(epoch: Epoch): void;
  /** The role has changed. After `stepDown`, where both are due. */
  onRole(role: Role, cause?: ClaimCause): void;
  /** Something worth a log line or a count happened; `event` is a stable name such as `election.claim`. */
  onEvent?(event: string, detail: Record<string, unknown>): void;
}

/** What `GET /v1/coordinator` shows of a node, and a little more for logs and metrics. */
export interface ElectionSnapshot {
  nodeId: NodeId;
  role: Role['role'];
  coordinator: { node: NodeId; epoch: Epoch } | null;
  /** The highest epoch that this node has heard of. */
  epoch: Epoch;
  fit: boolean;
  peers: { nodeId: NodeId; connected: boolean; fit: boolean }[];
  /** Epochs that this node won since it started, by cause: failovers are counted apart from take-overs in order. */
  won: Record<ClaimCause, number>;
}

/** An election in which this process takes part. */
export interface Election {
  start(): Promise<void>;
  /** Yields leadership in order if this node holds it, then leaves. Idempotent. */
  stop(): Promise<void>;
  /** Whether this node could do the coordinator's work (reaches the database and the gateway). Starts as false. */
  setFit(fit: boolean): void;
  /** The service found in the database that its epoch is stale. `holder` is null where only the epoch is known. */
  deposed(by: { holder: NodeId | null; epoch: Epoch }): void;
  snapshot(): ElectionSnapshot;
}
