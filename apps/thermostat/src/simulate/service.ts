/**
 * The simulated fleet: creates the devices, lets them measure, keeps their state on disk, and waits
 * for acknowledgements when it stops.
 */
import { createSequencer, deriveToken, subjects, type Log, type Service } from '@thermomesh/runtime';
import { openFleetLedger, type FleetLedger } from '../adapters/fleet-ledger.ts';
import {
  loadFleetMemory,
  saveFleetMemory,
  type DeviceMemory,
  type FleetMemory,
} from '../adapters/state-file.ts';
import { isOffline } from '../core/pacing.ts';
import { createRandom } from '../core/random.ts';
import { Device } from './device.ts';

/** The options of a fleet; the README explains each. */
export interface SimulateOptions {
  host: string;
  port: number;
  secret: string;
  devices: number;
  prefix: string;
  stateFile: string;
  /** Every device has lost its memory: it takes a higher incarnation and counts from 0 again. */
  reset?: boolean;
  intervalMs: number;
  window: number;
  keptReadingsMax: number;
  skewMs: number;
  driftPpm: number;
  offlineRatio: number;
  offlineMs: number;
  stopTimeoutMs: number;
  seed: number;
  /** Folder of the ledger; undefined keeps none. */
  ledgerFolder: string | undefined;
  /** Maximum size of the ledger; the oldest part is removed above it. */
  ledgerBytesMax: number;
  /** Name of the mesh, for the ledger. */
  mesh: string;
}

/** The counts of a fleet, summed over its devices. */
export interface FleetCounts {
  made: number;
  acked: number;
  /** Unacknowledged readings; after a stop they are in the state file. */
  kept: number;
  dropped: number;
  skipped: number;
  up: number;
}

/** A fleet of simulated thermostats. */
export interface Fleet extends Service {
  counts(): FleetCounts;
}

const reportEveryMs = 30_000;
const housekeepingMs = 1000;

/** Creates a fleet whose devices measure at evenly spaced times, so that its load is even. */
export function createFleet(options: SimulateOptions, log: Log): Fleet {
  return new SimulatedFleet(options, log);
}

class SimulatedFleet implements Fleet {
  readonly #options: SimulateOptions;
  readonly #log: Log;
  #devices: Device[] = [];
  #phases: number[] = [];
  /** Devices of the state file that this fleet does not have; the file keeps them. */
  #others: FleetMemory = {};
  #timers: NodeJS.Timeout[] = [];
  readonly #ledger: FleetLedger;
  /**
   * Saves one state after another, so that a later state is never overwritten by an earlier one.
   */
  readonly #inTurn = createSequencer();
  #stopping: Promise<void> | undefined;
  /** Which life of its devices the fleet plays. */
  #incarnation = 0;
  #changed: () => void = () => undefined;

  constructor(options: SimulateOptions, log: Log) {
    this.#options = options;
    this.#log = log;
    this.#ledger = openFleetLedger({ ...options, incarnation: () => this.#incarnation }, log);
  }

  async start(): Promise<void> {
    const {
      devices,
      prefix,
      seed,
      host,
      port,
      secret,
      window,
      keptReadingsMax,
      skewMs,
      driftPpm,
      stateFile,
    } = this.#options;
    const memory = await loadFleetMemory(stateFile);
    this.#incarnation = this.#incarnationAfter(memory);
    const shared = { host, port, window, keptReadingsMax, skewMs, driftPpm, onChange: () => this.#changed() };
    this.#devices = Array.from({ length: devices }, (_, index) => {
      const id = `${prefix}-${index + 1}`;
      const password = deriveToken(secret, subjects.device(id));
      const random = createRandom(seed + index * 7919);
      const own = { id, password, random, memory: this.#memoryOf(memory[id]) };
      return new Device({ ...shared, ...own, ...this.#ledger.ofDevice(index + 1) });
    });
    const random = createRandom(seed);
    this.#phases = this.#devices.map(random);
    const own = new Set(this.#devices.map(({ id }) => id));
    this.#others = Object.fromEntries(Object.entries(memory).filter(([id]) => !own.has(id)));
    // No reading gets a seq before that seq is reserved on disk.
    await this.#save('reserve');
    for (const device of this.#devices) device.connect();
    this.#devices.forEach((device, index) => this.#startMeasuring(device, index));
    this.#timers.push(setInterval(() => void this.#keepHouse(), housekeepingMs));
    this.#timers.push(
      setInterval(() => this.#log.info({ event: 'fleet.reported', ...this.counts() }), reportEveryMs),
    );
    this.#log.info({ event: 'fleet.started', devices, kept: this.counts().kept });
  }

  async stop(): Promise<void> {
    this.#stopping ??= this.#stop();
    return this.#stopping;
  }

  counts(): FleetCounts {
    const counts = { made: 0, acked: 0, kept: 0, dropped: 0, skipped: 0, up: 0 };
    for (const device of this.#devices) {
      counts.made += device.made;
      counts.acked += device.acked;
      counts.kept += device.outbox.size;
      counts.dropped += device.outbox.dropped;
      counts.skipped += device.skipped;
      if (device.up) counts.up++;
    }
    return counts;
  }

  /** The life that the fleet begins or continues. */
  #incarnationAfter(memory: FleetMemory): number {
    const { prefix, devices, reset } = this.#options;
    const own = Array.from({ length: devices }, (_, index) => memory[`${prefix}-${index + 1}`]);
    const last = Math.max(...own.map((stored) => stored?.incarnation ?? 0));
    return reset === true ? last + 1 : last;
  }

  /** What a device remembers at its start: nothing after a reset. */
  #memoryOf(stored: DeviceMemory | undefined): DeviceMemory {
    const { nextSeq, kept } =
      this.#options.reset === true || stored === undefined ? { nextSeq: 0, kept: [] } : stored;
    return { incarnation: this.#incarnation, nextSeq, kept };
  }

  #startMeasuring(device: Device, index: number): void {
    const { intervalMs, devices } = this.#options;
    const first = setTimeout(
      () => {
        device.measure(Date.now());
        this.#timers.push(setInterval(() => device.measure(Date.now()), intervalMs));
      },
      (intervalMs * index) / devices,
    );
    this.#timers.push(first);
  }

  async #keepHouse(): Promise<void> {
    this.#ledger.flush();
    const { offlineRatio: ratio, offlineMs } = this.#options;
    if (ratio > 0) {
      const plan = { ratio, cycleUs: (offlineMs / ratio) * 1000, untilUs: Infinity };
      const nowUs = Date.now() * 1000;
      this.#devices.forEach((device, index) =>
        device.setOffline(isOffline(plan, this.#phases[index] ?? 0, nowUs)),
      );
    }
    if (!this.#devices.some((device) => device.sequence.low)) return;
    try {
      await this.#save('reserve');
    } catch (error) {
      // Without a reservation the devices skip measurements by themselves. The next second tries
      // again.
      this.#log.error({ event: 'fleet.save_failed', err: error });
    }
  }

  /**
   * Writes the state file: with `reserve` the ends of the next blocks, with `exact` the next
   * numbers, when no device takes a number any more.
   */
  async #save(mode: 'reserve' | 'exact'): Promise<void> {
    const write = async () => {
      const ends = this.#devices.map(({ sequence }) =>
        mode === 'exact' ? sequence.next : sequence.endWithNextBlock,
      );
      const entries = this.#devices.map(
        ({ id, incarnation, outbox }, index) =>
          [id, { incarnation, nextSeq: ends[index] ?? 0, kept: outbox.all() }] as const,
      );
      await saveFleetMemory(this.#options.stateFile, { ...this.#others, ...Object.fromEntries(entries) });
      if (mode === 'reserve')
        this.#devices.forEach(({ sequence }, index) => sequence.reserved(ends[index] ?? 0));
    };
    return this.#inTurn(write);
  }

  async #stop(): Promise<void> {
    for (const timer of this.#timers) clearTimeout(timer);
    await this.#waitForAcks();
    await Promise.all(this.#devices.map((device) => device.close()));
    if (this.#devices.length > 0) await this.#save('exact');
    this.#ledger.close();
    const { made, acked, kept, dropped, skipped } = this.counts();
    this.#log.info({ event: 'fleet.stopped', made, acked, kept, dropped, skipped });
  }

  /**
   * Waits, up to the time limit, until all readings of connected devices are acknowledged. Devices
   * without a connection are ignored.
   */
  async #waitForAcks(): Promise<void> {
    const done = () => this.#devices.every((device) => !device.up || device.outbox.size === 0);
    if (done()) return;
    const { promise, resolve } = Promise.withResolvers<void>();
    const deadline = setTimeout(resolve, this.#options.stopTimeoutMs);
    this.#changed = () => {
      if (done()) resolve();
    };
    await promise;
    clearTimeout(deadline);
  }
}
