/**
 * The coordinator's requests to the gateway about its log. A request that fails is logged; the
 * drain session is then opened again, and the comparison repeats it.
 */
import type { Log } from '@thermomesh/runtime';
import type { Continuity } from '../core/continuity.ts';
import type { DrainSource } from '../core/ports.ts';
import type { DrainMetrics } from '../metrics.ts';

export class LogRequests {
  readonly #epoch: number;
  readonly #log: Log;
  readonly #metrics: DrainMetrics;

  constructor(epoch: number, { log, metrics }: { log: Log; metrics: DrainMetrics }) {
    this.#epoch = epoch;
    this.#log = log;
    this.#metrics = metrics;
  }

  /**
   * Lets the gateway remember the database before the first message goes there (ADR 0020). Returns
   * false if that failed.
   */
  async bind(source: DrainSource, database: string): Promise<boolean> {
    return this.#ask(async () => {
      await source.bindDatabase(database);
      this.#log.info({ event: 'drain.database_bound', epoch: this.#epoch, database });
    });
  }

  /** Asks for the messages that the database lacks and the gateway still has. */
  async resend(
    { afterLogId, messages }: Extract<Continuity, { kind: 'behind' }>,
    source: DrainSource,
  ): Promise<void> {
    this.#metrics.gaps.inc({ outcome: 'asked_again' });
    this.#log.warn({ event: 'drain.database_behind', epoch: this.#epoch, afterLogId, messages });
    await this.#ask(async () => source.resend(afterLogId));
  }

  async #ask(request: () => Promise<void>): Promise<boolean> {
    try {
      await request();
      return true;
    } catch (error) {
      this.#metrics.failures.inc({ what: 'gateway' });
      this.#log.warn({ event: 'drain.waiting', what: 'gateway', epoch: this.#epoch, err: error });
      return false;
    }
  }
}
