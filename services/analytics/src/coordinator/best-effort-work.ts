/**
 * What a coordinator does beside the drain: it stores readings that came at QoS 0, and what the
 * gateway reports of its devices (ADR 0023). Nothing here may hold up the drain: it waits while
 * accepted messages do, its batches are small, its queues are bounded, and what does not fit is
 * dropped and counted.
 */
import type { DeviceNotice, DevicesReport } from '@thermomesh/contracts';
import { DataRefusedError } from '@thermomesh/sql';
import {
  createBestEffortQueue,
  refusedByDatabase,
  type BestEffortApplied,
  type BestEffortEntry,
} from '../core/best-effort.ts';
import type { DrainSource, DrainStore } from '../core/ports.ts';
import type { DrainMetrics } from '../metrics.ts';

/** How long readings gather, and how long the work waits while the drain is behind. */
const gatherMs = 50;
/** Pause after a statement that failed. */
const retryMs = 1_000;
/** Maximum number of readings in one statement: the drain waits for it. */
const rowsMax = 500;
/** Bounds of the readings that wait. */
const queueLimits = { messagesMax: 10_000, bytesMax: 8 * 1024 * 1024 };
/** Maximum number of reports that wait, and of devices whose dropped readings are counted. */
const reportsMax = 10;
const droppedDevicesMax = 10_000;

export interface BestEffortWorkOptions {
  epoch: number;
  nodeId: number;
  /**
   * Executes a statement in turn with those of the drain; undefined if it failed and may be tried
   * again.
   * @throws DataRefusedError
   */
  execute: <T>(statement: (store: DrainStore) => Promise<T>) => Promise<T | undefined>;
  metrics: Pick<DrainMetrics, 'bestEffort'>;
}

/** The work of one term. */
export interface BestEffortWork {
  /** Takes what comes on a connection to the gateway. */
  attach(source: Pick<DrainSource, 'onBestEffort' | 'isBehind'>): void;
  /** Stores one more batch, at the graceful end of the term. */
  flush(): Promise<void>;
  stop(): void;
}

/** Starts nothing before `attach`. */
export function createBestEffortWork(options: BestEffortWorkOptions): BestEffortWork {
  return new TermBesideWork(options);
}

class TermBesideWork implements BestEffortWork {
  readonly #options: BestEffortWorkOptions;
  readonly #queue = createBestEffortQueue(queueLimits);
  readonly #dropped = new Map<string, DeviceNotice>();
  #droppedCount = 0;
  #reports: DevicesReport[] = [];
  #source: Pick<DrainSource, 'isBehind'> | undefined;
  #timer: NodeJS.Timeout | undefined;
  #running: Promise<unknown> | undefined;
  #stopped = false;

  constructor(options: BestEffortWorkOptions) {
    this.#options = options;
  }

  attach(source: Pick<DrainSource, 'onBestEffort' | 'isBehind'>): void {
    this.#source = source;
    source.onBestEffort({
      reading: (entry) => {
        if (!this.#queue.push(entry)) this.#drop(entry);
        this.#schedule(gatherMs);
      },
      report: (report) => {
        if (this.#reports.length < reportsMax) this.#reports.push(report);
        this.#schedule(gatherMs);
      },
    });
  }

  async flush(): Promise<void> {
    clearTimeout(this.#timer);
    await this.#running;
    if ((await this.#storeReports()) && this.#queue.length > 0) await this.#storeReadings();
  }

  stop(): void {
    this.#stopped = true;
    clearTimeout(this.#timer);
  }

  #schedule(pauseMs: number): void {
    const hasWork = this.#queue.length > 0 || this.#reports.length > 0 || this.#droppedCount > 0;
    if (this.#stopped || this.#timer !== undefined || this.#running !== undefined || !hasWork) return;
    this.#timer = setTimeout(() => {
      this.#timer = undefined;
      this.#running = this.#work().then((succeeded) => {
        this.#running = undefined;
        this.#schedule(succeeded ? gatherMs : retryMs);
      });
    }, pauseMs);
  }

  /** False if a statement has failed, which is tried again later. */
  async #work(): Promise<boolean> {
    // Accepted messages come first (I1).
    if (this.#source?.isBehind() === true) return true;
    if (!(await this.#storeReports())) return false;
    while (!this.#stopped && this.#queue.length > 0 && this.#source?.isBehind() !== true) {
      if (!(await this.#storeReadings())) return false;
    }
    return true;
  }

  async #storeReports(): Promise<boolean> {
    if (this.#droppedCount > 0 && this.#reports.length < reportsMax) {
      const devices = [...this.#dropped.values()];
      this.#reports.push({ relayed: 0, dropped: this.#droppedCount, devices });
      this.#droppedCount = 0;
      this.#dropped.clear();
    }
    const { epoch, execute } = this.#options;
    for (let report = this.#reports[0]; report !== undefined; report = this.#reports[0]) {
      const next = report;
      const stored = await execute(async (store) => {
        await store.noteDevices(epoch, next);
        return true;
      });
      if (stored === undefined) return false;
      this.#reports.shift();
    }
    return true;
  }

  async #storeReadings(): Promise<boolean> {
    const entries = this.#queue.take(rowsMax);
    const failed = await this.#apply(entries);
    this.#queue.putBack(failed);
    return failed.length === 0;
  }

  /** Returns the entries whose statement has failed. */
  async #apply(entries: BestEffortEntry[]): Promise<BestEffortEntry[]> {
    const { epoch, nodeId, execute } = this.#options;
    try {
      const applied = await execute((store) => store.applyBestEffort(epoch, nodeId, entries));
      if (applied === undefined) return entries;
      this.#count(applied);
      return [];
    } catch (error) {
      if (!(error instanceof DataRefusedError)) throw error;
      const [first] = entries;
      if (first !== undefined && entries.length === 1) {
        const refused = refusedByDatabase(first, error.sqlState);
        // A rejection that is refused too is a bug of this program and must not be hidden.
        if (refused === undefined) throw error;
        return this.#apply([refused]);
      }
      const middle = Math.ceil(entries.length / 2);
      const left = await this.#apply(entries.slice(0, middle));
      return [...left, ...(await this.#apply(entries.slice(middle)))];
    }
  }

  #count(applied: BestEffortApplied): void {
    for (const outcome of ['stored', 'duplicate', 'rejected'] as const)
      if (applied[outcome] > 0) this.#options.metrics.bestEffort.inc({ outcome }, applied[outcome]);
  }

  #drop({ deviceId, receivedAtMs }: BestEffortEntry): void {
    this.#options.metrics.bestEffort.inc({ outcome: 'dropped' });
    this.#droppedCount += 1;
    const known = this.#dropped.get(deviceId);
    if (known !== undefined) {
      known.notStored += 1;
      known.lastAtMs = receivedAtMs;
    } else if (this.#dropped.size < droppedDevicesMax) {
      const times = { firstAtMs: receivedAtMs, lastAtMs: receivedAtMs };
      this.#dropped.set(deviceId, { deviceId, notStored: 1, ...times, refusals: [] });
    }
  }
}
