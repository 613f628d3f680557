/** The standing fleet: makes the devices, lets them measure, keeps their memory on disk, stops honestly. */
import { deriveToken, messageOf, subjects, type Log, type Service } from '@thermomesh/runtime';
import { loadFleetMemory, saveFleetMemory, type FleetMemory } from '../adapters/state-file.ts';
import { isOffline } from '../core/pacing.ts';
import { createRandom } from '../core/random.ts';
import { Device } from './device.ts';

/** What a fleet is asked for; see the README for each. */
export interface SimulateOptions {
  host: string;
  port: number;
  secret: string;
  devices: number;
  prefix: string;
  stateFile: string;
  intervalMs: number;
  window: number;
  keptReadingsMax: number;
  skewMs: number;
  driftPpm: number;
  offlineRatio: number;
  offlineMs: number;
  stopTimeoutMs: number;
  seed: number;
}

/** The fleet's figures, summed over its devices. */
export interface FleetCounts {
  made: number;
  acked: number;
  /** Unacknowledged, in memory and in the state file after a stop. */
  kept: number;
  dropped: number;
  skipped: number;
  up: number;
}

export interface Fleet extends Service {
  counts(): FleetCounts;
}

const reportEveryMs = 30_000;
const housekeepingMs = 1000;

/** The devices measure at even distances within the interval, so that the fleet's load is even. */
export function createFleet(options: SimulateOptions, log: Log): Fleet {
  return new SimulatedFleet(options, log);
}

class SimulatedFleet implements Fleet {
  readonly #options: SimulateOptions;
  readonly #log: Log;
  #devices: Device[] = [];
  #phases: number[] = [];
  /** Devices in the state file that this fleet does not have; they keep their place there. */
  #others: FleetMemory = {};
  #timers: NodeJS.Timeout[] = [];
  #saving: Promise<void> = Promise.resolve();
  #stopping: Promise<void> | undefined;
  #changed: () => void = () => undefined;

  constructor(options: SimulateOptions, log: Log) {
    this.#options = options;
    this.#log = log;
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
    const shared = { host, port, window, keptReadingsMax, skewMs, driftPpm, onChange: () => this.#changed() };
    this.#devices = Array.from({ length: devices }, (_, index) => {
      const id = `${prefix}-${index + 1}`;
      const password = deriveToken(secret, subjects.device(id));
      const random = createRandom(seed + index * 7919);
      return new Device({ ...shared, id, password, random, memory: memory[id] ?? { nextSeq: 0, kept: [] } });
    });
    const random = createRandom(seed);
    this.#phases = this.#devices.map(random);
    const own = new Set(this.#devices.map(({ id }) => id));
    this.#others = Object.fromEntries(Object.entries(memory).filter(([id]) => !own.has(id)));
    // Nothing is numbered before its number is reserved on disk.
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
      // Without a reservation the devices stop numbering by themselves; the next second tries again.
      this.#log.error({ event: 'fleet.save_failed', err: error }, messageOf(error));
    }
  }

  /** `reserve` writes the ends of new blocks; `exact` the very next numbers, when none will be taken any more. */
  async #save(mode: 'reserve' | 'exact'): Promise<void> {
    const write = async () => {
      const ends = this.#devices.map(({ sequence }) =>
        mode === 'exact' ? sequence.next : sequence.endWithNextBlock,
      );
      const entries = this.#devices.map(
        (device, index) => [device.id, { nextSeq: ends[index] ?? 0, kept: device.outbox.all() }] as const,
      );
      await saveFleetMemory(this.#options.stateFile, { ...this.#others, ...Object.fromEntries(entries) });
      if (mode === 'reserve')
        this.#devices.forEach(({ sequence }, index) => sequence.reserved(ends[index] ?? 0));
    };
    // One after another: a later state must not be overtaken by an earlier one.
    const before = this.#saving;
    const saved = before.catch(() => undefined).then(write);
    this.#saving = saved;
    return saved;
  }

  async #stop(): Promise<void> {
    for (const timer of this.#timers) clearTimeout(timer);
    await this.#waitForAcks();
    await Promise.all(this.#devices.map((device) => device.close()));
    if (this.#devices.length > 0) await this.#save('exact');
    const { made, acked, kept, dropped, skipped } = this.counts();
    this.#log.info({ event: 'fleet.stopped', made, acked, kept, dropped, skipped });
  }

  /** Until all that can be acknowledged is, by the deadline: a device without connection is not waited for. */
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
