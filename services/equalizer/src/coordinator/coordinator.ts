/**
 * The coordinator's role: a node stands for election, and runs one term each time that it is
 * elected.
 */
import { codeOf, sleep } from '@thermomesh/runtime';
import { LeaderElection, type Lease } from '@thermomesh/zookeeper';
import { fencedWrites } from '../adapters/fenced-writes.ts';
import { DeposedError } from '../core/errors.ts';
import { nodesOf } from '../core/jobs.ts';
import { runTerm, type TermDeps } from './term-run.ts';
import type { TermEnd } from './term.ts';

export interface CoordinatorOptions extends TermDeps {
  /** The name of this node. */
  id: string;
  /** Receives the epoch of each term of this node, before the term starts. */
  onElected: (epoch: number) => void;
}

export interface Coordinator {
  start(): void;
  /** The epoch of this node's term; undefined while this node does not coordinate. */
  readonly epoch: number | undefined;
  /** The elected node, as the queue of candidates shows it. @throws ZooKeeperError */
  leader(): Promise<{ node: string; epoch: number } | undefined>;
  /** Why this node cannot be elected; undefined if it can. */
  unhealthyReason(): string | undefined;
  /** Finishes the effects in progress, resigns and withdraws the candidacy. Idempotent. */
  stop(): Promise<void>;
}

/** Pause of a node whose term failed, before it stands for election again. */
const failedPauseMs = 1_000;
/** Time that effects in progress have to finish at a stop. */
const settleTimeoutMs = 1_000;

export function createCoordinator(options: CoordinatorOptions): Coordinator {
  return new CoordinatorRole(options);
}

class CoordinatorRole implements Coordinator {
  readonly #options: CoordinatorOptions;
  readonly #election: LeaderElection;
  readonly #stopping = new AbortController();
  #running: Promise<void> = Promise.resolve();
  #epoch: number | undefined;
  #unhealthyReason: string | undefined;
  #stopped: Promise<void> | undefined;

  constructor(options: CoordinatorOptions) {
    this.#options = options;
    const { zk, root, id, log } = options;
    this.#election = new LeaderElection(zk, {
      path: nodesOf(root).coordinator,
      id,
      listener: {
        elected: (lease) => {
          this.#running = this.#running.then(async () => this.#lead(lease));
        },
        suspended: () => log.warn({ event: 'coordinator.suspended' }),
        resumed: () => log.info({ event: 'coordinator.resumed' }),
        failed: (err) => {
          this.#unhealthyReason = `cannot stand for election: ${codeOf(err)}`;
          log.error({ event: 'coordinator.election_failed', code: codeOf(err), err });
        },
      },
    });
  }

  get epoch(): number | undefined {
    return this.#epoch;
  }

  unhealthyReason(): string | undefined {
    return this.#unhealthyReason;
  }

  start(): void {
    this.#election.start();
  }

  async leader(): Promise<{ node: string; epoch: number } | undefined> {
    const [first] = await this.#election.candidates();
    return first === undefined ? undefined : { node: first.id, epoch: Number(first.epoch) };
  }

  stop(): Promise<void> {
    this.#stopped ??= this.#stop();
    return this.#stopped;
  }

  async #stop(): Promise<void> {
    this.#stopping.abort();
    await Promise.race([this.#running, sleep(settleTimeoutMs)]);
    await this.#election.close();
    await this.#running;
  }

  /** Runs a term from the election to its end. Never rejects. */
  async #lead(lease: Lease): Promise<void> {
    const { metrics, log, onElected } = this.#options;
    const epoch = Number(lease.epoch);
    this.#epoch = epoch;
    metrics.coordinating.set(1);
    metrics.coordinatorEpoch.set(epoch);
    log.info({ event: 'coordinator.elected', epoch });
    onElected(epoch);
    const signal = AbortSignal.any([lease.signal, this.#stopping.signal]);
    const writes = fencedWrites(this.#options.zk, lease);
    let end: TermEnd;
    try {
      end = await runTerm(this.#options, { epoch, writes, signal });
    } catch (error) {
      end = this.#endOf(error, signal, epoch);
    }
    this.#epoch = undefined;
    metrics.coordinating.set(0);
    metrics.terms.inc({ end });
    if (end === 'deposed') metrics.storesRefused.inc({ role: 'coordinator' });
    log.info({ event: 'coordinator.ended', epoch, end });
    if (lease.signal.aborted || this.#stopping.signal.aborted) return;
    // The next candidate takes over; this node stands again as the last in the queue.
    if (end === 'failed') await sleep(failedPauseMs, this.#stopping.signal);
    await lease.release();
  }

  #endOf(err: unknown, signal: AbortSignal, epoch: number): TermEnd {
    if (signal.aborted) return 'stopped';
    if (err instanceof DeposedError) return 'deposed';
    this.#options.log.error({ event: 'coordinator.failed', epoch, code: codeOf(err), err });
    return 'failed';
  }
}
