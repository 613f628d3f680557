/**
 * What a node does for its election: it claims epochs from PostgreSQL, drains while it is
 * coordinator, and stops when it no longer is.
 */
import type { DrainGap, DrainView } from '@thermomesh/contracts';
import type { Log } from '@thermomesh/runtime';
import type { ClaimCause, ClaimResult, Election, ElectionHost, Role } from '@thermomesh/election';
import type { Entry } from '../core/batch.ts';
import { analyticsError } from '../core/errors.ts';
import type { DrainStore } from '../core/ports.ts';
import { startDrain, type Drain, type DrainOptions, type GapName, type ReplayOutcome } from './drain.ts';

export interface CoordinatorOptions extends Omit<DrainOptions, 'onDeposed'> {
  leaseMs: number;
  /** Publishes who coordinates; rejects if the gateway cannot be reached now. */
  announce: (epoch: number) => Promise<void>;
  /** The present holder of the epoch in the database; null if there is none. */
  currentHolder: () => Promise<{ node: number; epoch: number } | null>;
  /** Returns false once this node has noticed that PostgreSQL does not answer it. */
  sqlAnswers: () => boolean;
}

/** The host of the node's election. */
export interface Coordinator extends ElectionHost {
  /**
   * Sets the election that is informed when the fence has refused this node. Called once, before
   * the election starts.
   */
  setElection(election: Pick<Election, 'deposed' | 'snapshot'>): void;
  /** The drain of the present term; null without one. */
  drainView(): DrainView | null;
  /**
   * Accepts the gap at which the drain waits, see {@link Drain}.
   * @throws MeshError `drain.not_coordinator`, `drain.no_such_gap`
   */
  acceptGap(gap: GapName): Promise<DrainGap>;
  /**
   * Stores a rejected message that is a valid reading now, see {@link Drain}.
   * @throws MeshError `drain.not_coordinator`
   */
  replay(id: number, entry: Entry): Promise<ReplayOutcome>;
  /** Ends the present term, if there is one, at once. */
  close(): void;
}

interface ActiveTerm {
  epoch: number;
  drain: Drain;
}

/** Creates the host of an election. It holds no term until the election claims an epoch. */
export function createCoordinator(options: CoordinatorOptions): Coordinator {
  const { log, metrics, nodeId, crash } = options;
  let election: Pick<Election, 'deposed' | 'snapshot'> | undefined;
  let active: ActiveTerm | undefined;

  async function claim(cause: ClaimCause): Promise<ClaimResult> {
    let store: DrainStore | undefined;
    try {
      store = await options.openStore();
      const answer = await store.takeOver(nodeId, options.leaseMs, election?.snapshot().epoch ?? 0);
      if (!answer.won) {
        store.close();
        return { outcome: 'held', holder: answer.holder, epoch: answer.epoch };
      }
      crash('analytics.after-claim');
      log.info({ event: 'coordinator.epoch_taken', epoch: answer.epoch, cause });
      metrics.takeOvers.inc({ cause });
      begin(answer.epoch, store);
      return { outcome: 'won', epoch: answer.epoch };
    } catch (error) {
      store?.close();
      log.warn({ event: 'coordinator.claim_failed', cause, err: error });
      return { outcome: 'failed' };
    }
  }

  function begin(epoch: number, store: DrainStore): void {
    active?.drain.abort();
    metrics.epoch.set(epoch);
    const drain = startDrain(epoch, store, { ...options, onDeposed: (stale) => void deposed(stale) });
    active = { epoch, drain };
    void drain.finished.finally(() => {
      if (active?.drain !== drain) return;
      active = undefined;
      metrics.epoch.set(0);
    });
  }

  async function deposed(epoch: number): Promise<void> {
    election?.deposed(deposedBy(await options.currentHolder().catch(() => null), epoch));
  }

  function onRole(role: Role, cause?: ClaimCause): void {
    logRole(log, role, cause);
    if (role.role !== 'coordinator') return;
    options.announce(role.epoch).catch((error: unknown) => {
      // The announcement is for onlookers; the nodes inform one another directly.
      metrics.failures.inc({ what: 'gateway' });
      log.warn({ event: 'coordinator.announcement_failed', epoch: role.epoch, err: error });
    });
  }

  const draining = (): Drain => active?.drain ?? refuse(nodeId);

  return {
    claim,
    setElection: (one) => {
      election = one;
    },
    release: async (epoch) => {
      if (active?.epoch !== epoch) return;
      if (options.sqlAnswers()) return active.drain.release();
      // Without PostgreSQL no batch can be committed and no lease released. Trying would only delay
      // the successor.
      log.warn({ event: 'drain.not_released', epoch, reason: 'PostgreSQL does not answer' });
      active.drain.abort();
    },
    stepDown: (epoch) => {
      if (active?.epoch === epoch) active.drain.abort();
    },
    onRole,
    drainView: () => active?.drain.view() ?? null,
    acceptGap: async (gap) => draining().acceptGap(gap),
    replay: async (id, entry) => draining().replay(id, entry),
    log,
    close: () => active?.drain.abort(),
  };
}

/** @throws MeshError `drain.not_coordinator` */
function refuse(nodeId: number): never {
  throw analyticsError('drain.not_coordinator', `node ${nodeId} does not coordinate`);
}

/** Who has deposed the coordinator of `epoch`. */
function deposedBy(
  holder: { node: number; epoch: number } | null,
  epoch: number,
): { holder: number | null; epoch: number } {
  // A database that was restored names a holder from before: no node coordinates on it.
  const isCurrent = holder !== null && holder.epoch > epoch;
  return isCurrent ? { holder: holder.node, epoch: holder.epoch } : { holder: null, epoch: epoch + 1 };
}

function logRole(log: Log, role: Role, cause: ClaimCause | undefined): void {
  switch (role.role) {
    case 'coordinator':
      return log.info({ event: 'election.coordinator', ...role, cause });
    case 'follower':
      return log.info({ event: 'election.follower', ...role, cause });
    case 'electing':
      return log.info({ event: 'election.electing', ...role, cause });
    case 'stopped':
      return log.info({ event: 'election.stopped', ...role, cause });
  }
}
