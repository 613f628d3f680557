/** What a node does for the election: takes epochs from PostgreSQL, drains while it is coordinator, stops when it is not. */
import { codeOf, messageOf } from '@thermomesh/runtime';
import type { ClaimCause, ClaimResult, ElectionHost, Role } from '@thermomesh/election';
import type { DrainStore } from './adapters/pg-drain-store.ts';
import { startDrain, type Drain, type DrainOptions } from './drain.ts';

export interface CoordinatorOptions extends Omit<DrainOptions, 'onDeposed'> {
  leaseMs: number;
  /** Publishes who coordinates; rejects if the gateway cannot be told now. */
  announce: (epoch: number) => Promise<void>;
  /** The present holder, as the database has it; null if it cannot be asked. */
  currentHolder: () => Promise<{ node: number; epoch: number } | null>;
  onDeposed: (by: { holder: number | null; epoch: number }) => void;
  /** False once this node knows that PostgreSQL does not answer it. */
  sqlAnswers: () => boolean;
}

/** The host of the node's election. */
export interface Coordinator extends ElectionHost {
  /** Ends whatever is left of a term, at once. */
  close(): void;
}

interface Term {
  epoch: number;
  drain: Drain;
}

export function createCoordinator(options: CoordinatorOptions): Coordinator {
  const { log, metrics, nodeId, crash } = options;
  let term: Term | undefined;

  async function claim(cause: ClaimCause): Promise<ClaimResult> {
    let store: DrainStore | undefined;
    try {
      store = await options.openStore();
      const answer = await store.takeOver(nodeId, options.leaseMs);
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
      log.warn({ event: 'coordinator.claim_failed', cause, code: codeOf(error), reason: messageOf(error) });
      return { outcome: 'failed' };
    }
  }

  function begin(epoch: number, store: DrainStore): void {
    term?.drain.abort();
    metrics.epoch.set(epoch);
    const drain = startDrain(epoch, store, { ...options, onDeposed: (stale) => void deposed(stale) });
    term = { epoch, drain };
    void drain.finished.finally(() => {
      if (term?.drain !== drain) return;
      term = undefined;
      metrics.epoch.set(0);
    });
  }

  async function deposed(epoch: number): Promise<void> {
    const holder = await options.currentHolder().catch(() => null);
    options.onDeposed(
      holder === null ? { holder: null, epoch: epoch + 1 } : { holder: holder.node, epoch: holder.epoch },
    );
  }

  function onRole(role: Role, cause?: ClaimCause): void {
    log.info({ event: `election.${role.role}`, ...role, cause });
    if (role.role !== 'coordinator') return;
    options.announce(role.epoch).catch((error: unknown) => {
      // A convenience for onlookers: the nodes tell one another directly.
      metrics.failures.inc({ what: 'gateway' });
      log.warn({ event: 'coordinator.announcement_failed', epoch: role.epoch, reason: messageOf(error) });
    });
  }

  return {
    claim,
    release: async (epoch) => {
      if (term?.epoch !== epoch) return;
      if (options.sqlAnswers()) return term.drain.release();
      // Without PostgreSQL no batch can be finished and no lease given back: trying would only keep the successor waiting.
      log.warn({ event: 'drain.not_released', epoch, reason: 'PostgreSQL does not answer' });
      term.drain.abort();
    },
    stepDown: (epoch) => {
      if (term?.epoch === epoch) term.drain.abort();
    },
    onRole,
    onEvent: (event, detail) => log.info({ event, ...detail }),
    close: () => term?.drain.abort(),
  };
}
