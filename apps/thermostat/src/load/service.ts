/**
 * The load generator: connects the devices, sends by the schedule, waits for the acknowledgements
 * and closes the ledger.
 */
import { ledgerExtension, openLedger, type LedgerWriter } from '@thermomesh/ledger';
import { deriveToken, sleep, subjects, type MeshError } from '@thermomesh/runtime';
import path from 'node:path';
import { checkOpenFiles } from '../adapters/open-files.ts';
import { thermostatError } from '../core/errors.ts';
import { createPacing, isOffline, type Pacing } from '../core/pacing.ts';
import { createRandom, type Random } from '../core/random.ts';
import { LoadDevice, type LoadContext } from './device.ts';
import { LoadReport, type LoadSummary } from './report.ts';

/** The options of a run; the README explains each. */
export interface LoadOptions {
  host: string;
  port: number;
  secret: string;
  devices: number;
  rate: number;
  seconds: number;
  qos: 0 | 1;
  window: number;
  burst: number;
  skewSeconds: number;
  offlineRatio: number;
  /** Each device starts with the readings of this many offline minutes, one per minute. */
  backfillMinutes: number;
  /**
   * All devices connect within this time, and each sends as soon as it is connected. 0: all devices
   * connect before the first one sends.
   */
  stormSeconds: number;
  poisonRatio: number;
  ackTimeoutMs: number;
  connectTimeoutMs: number;
  runId: string;
  seed: number;
  ledgerFolder: string;
  mesh: string;
}

/** Receives the progress of a run. */
export interface LoadObserver {
  /** Called when all devices are connected and sending begins. */
  onReady(ledgerFile: string): void;
  /** Called about once per second. */
  onProgress(line: string): void;
}

/** A run under way. */
export interface LoadRun {
  /** Resolves with the summary; rejects with a MeshError if the run could not take place. */
  readonly done: Promise<LoadSummary>;
  /** Sends no new readings. A second call also ends the wait for acknowledgements. */
  stop(): void;
}

/** Maximum number of concurrent first connections; the backlog of a listening broker is 511. */
const connectsAtOnceMax = 200;
const tickMs = 1;
const sweepMs = 1000;
const offlineCheckUs = 100_000;
/** Maximum duration of one offline and one online period of a device together. */
const offlineCycleUsMax = 10_000_000;
/**
 * After this share of the run every device stays online, so that its back-fill ends within the run.
 */
const onlineAgainAt = 0.8;
/** Readings that are due at the very end wait at most this time for room in the window. */
const lastReadingsUs = 250_000;
const closeTimeoutMs = 5000;
/** CONNACK return codes 4 and 5 mean wrong credentials, which no retry would change. */
const refusesCredentials = (returnCode: number | undefined) => returnCode === 4 || returnCode === 5;

/** Starts a run. The ledger is created before anything is sent. @throws LedgerError */
export function startLoad(options: LoadOptions, observer: LoadObserver): LoadRun {
  const run = new Run(options, observer);
  return { done: run.run(), stop: () => run.stop() };
}

class Run {
  readonly #options: LoadOptions;
  readonly #observer: LoadObserver;
  readonly #pacing: Pacing;
  readonly #devices: LoadDevice[];
  /** The point of its offline cycle at which each device starts, in [0, 1). */
  readonly #phases: number[];
  #ledger!: LedgerWriter;
  #report!: LoadReport;
  #startedAtMs = 0;
  #startedAt = 0;
  #sending = false;
  /** Devices that owe readings and may have room in their window. */
  #ready: LoadDevice[] = [];
  #burstsDue = 0;
  #opened = 0;
  #connected = 0;
  #lastDown = '';
  #stops = 0;
  #interruptedAtUs: number | undefined;
  #offlineCheckedUs = 0;
  #failure: MeshError | undefined;
  /** Checks the awaited condition again. Called after every change that could make it true. */
  #changed: () => void = () => undefined;

  constructor(options: LoadOptions, observer: LoadObserver) {
    this.#options = options;
    this.#observer = observer;
    this.#pacing = createPacing({ ...options, kept: options.backfillMinutes });
    const random = createRandom(options.seed);
    const context = this.#context(random);
    this.#devices = Array.from({ length: options.devices }, (_, index) => {
      const id = `${devicePrefix(options.runId)}${index}`;
      return new LoadDevice(context, index, id, deriveToken(options.secret, subjects.device(id)));
    });
    this.#phases = this.#devices.map(random);
  }

  stop(): void {
    this.#stops++;
    this.#changed();
  }

  async run(): Promise<LoadSummary> {
    const sweeper = setInterval(() => this.#sweep(), sweepMs);
    try {
      checkOpenFiles(this.#devices.length);
      if (this.#options.stormSeconds === 0) await this.#connect();
      this.#openLedger();
      this.#observer.onReady(this.#ledger.file);
      await this.#send();
      await this.#waitForAcks();
    } finally {
      clearInterval(sweeper);
      await this.#close();
    }
    this.#ledger.close(this.#interruptedAtUs !== undefined);
    return this.#summary();
  }

  #context(random: Random): LoadContext {
    // The getters of the object below have a `this` of their own.
    const run = this;
    const { host, port, qos, window, seed, skewSeconds, poisonRatio } = this.#options;
    return {
      host,
      port,
      qos,
      window,
      seed,
      skewSeconds,
      poisonRatio,
      random,
      get startedAtMs() {
        return run.#startedAtMs;
      },
      get ledger() {
        return run.#ledger;
      },
      nowUs: () => this.#nowUs(),
      dueUs: (device, number) => this.#pacing.dueUs(device, number),
      onUp: (device) => this.#onUp(device),
      onDown: (device, reason, refused) => this.#onDown(device, reason, refused),
      onRoom: (device) => this.#enqueue(device),
      onAck: (message, nowUs) => {
        this.#report.acked(message.sentUs, nowUs);
        this.#changed();
      },
    };
  }

  #nowUs(): number {
    return Math.round((performance.now() - this.#startedAt) * 1000);
  }

  /**
   * Makes the first connection of every device. It continues without devices that are not connected
   * in time, unless none is.
   */
  async #connect(): Promise<void> {
    this.#openMore();
    const everyone = () =>
      this.#connected === this.#devices.length || this.#failure !== undefined || this.#stops > 0;
    await this.#until(everyone, this.#options.connectTimeoutMs);
    if (this.#failure !== undefined) throw this.#failure;
    if (this.#connected === 0 && this.#stops === 0) throw this.#noBroker();
    for (; this.#opened < this.#devices.length; this.#opened++) this.#devices[this.#opened]?.open();
  }

  #noBroker(): MeshError {
    const { host, port } = this.#options;
    return thermostatError('load.no_broker', `no device could connect to ${host}:${port}: ${this.#lastDown}`);
  }

  #openMore(): void {
    while (this.#opened < this.#devices.length && this.#opened - this.#connected < connectsAtOnceMax) {
      this.#devices[this.#opened++]?.open();
    }
  }

  #onUp(device: LoadDevice): void {
    if (device.connections !== 1) return;
    this.#connected++;
    this.#openMore();
    this.#changed();
  }

  #onDown(device: LoadDevice, reason: string, refused: number | undefined): void {
    this.#lastDown = reason;
    if ((!this.#sending || this.#connected === 0) && refusesCredentials(refused)) {
      this.#failure = thermostatError(
        'load.refused',
        `the broker refuses ${device.id}: the secret is wrong, or it is another mesh`,
      );
    }
    this.#changed();
  }

  #openLedger(): void {
    const { secret: _secret, host, port, ...recorded } = this.#options;
    const { runId, mesh, qos, devices, ledgerFolder } = this.#options;
    this.#startedAtMs = Date.now();
    this.#startedAt = performance.now();
    this.#ledger = openLedger(path.resolve(ledgerFolder, runId + ledgerExtension), {
      runId,
      mesh,
      qos,
      devices,
      startedAtMs: this.#startedAtMs,
      devicePrefix: devicePrefix(runId),
      options: { ...recorded, mqttUrl: `mqtt://${host}:${port}` },
    });
    this.#report = new LoadReport(this.#ledger);
  }

  /**
   * Sends until the planned time is over and no device owes readings, until the grace period after
   * it is over too, or until a signal ends the run.
   */
  async #send(): Promise<void> {
    this.#sending = true;
    const { seconds, backfillMinutes, ackTimeoutMs } = this.#options;
    const endUs = seconds * 1e6;
    const graceUs = backfillMinutes > 0 ? ackTimeoutMs * 1000 : lastReadingsUs;
    for (const device of this.#devices) {
      device.owed = backfillMinutes;
      this.#enqueue(device);
    }
    for (;;) {
      const nowUs = this.#nowUs();
      this.#throwFailure(nowUs);
      if (this.#stops > 0) {
        this.#interruptedAtUs = Math.min(nowUs, endUs);
        return;
      }
      if (nowUs >= endUs + graceUs) return;
      this.#tick(nowUs, endUs);
      if (nowUs >= endUs && this.#devices.every((device) => device.owed === 0)) return;
      await sleep(tickMs);
    }
  }

  /** Throws the failure of the first connections; in a storm they are made while devices send. */
  #throwFailure(nowUs: number): void {
    const none = this.#connected === 0 && nowUs > this.#options.connectTimeoutMs * 1000;
    const failure = this.#failure ?? (none ? this.#noBroker() : undefined);
    if (failure === undefined) return;
    this.#ledger.close(true);
    throw failure;
  }

  /**
   * In a storm every device connects at its own time, whether or not the earlier ones succeeded.
   */
  #openDue(nowUs: number): void {
    const stormUs = this.#options.stormSeconds * 1e6;
    if (stormUs === 0) return;
    const due = Math.min(1, nowUs / stormUs) * this.#devices.length;
    while (this.#opened < due) this.#devices[this.#opened++]?.open();
  }

  #tick(nowUs: number, endUs: number): void {
    this.#openDue(nowUs);
    this.#setOffline(nowUs, endUs);
    for (const due = this.#pacing.burstsDueBy(nowUs); this.#burstsDue < due; this.#burstsDue++) {
      const device = this.#devices[this.#pacing.deviceOf(this.#burstsDue)];
      if (device === undefined) continue;
      device.owed += this.#options.burst;
      this.#enqueue(device);
    }
    const ready = this.#ready;
    this.#ready = [];
    const writes: [LoadDevice, Buffer][] = [];
    for (const device of ready) {
      device.queued = false;
      const before = device.sent;
      const packets = device.prepare();
      if (packets !== undefined) {
        writes.push([device, packets]);
        this.#report.sent(device.sent - before, nowUs);
      }
      // At QoS 1 an acknowledgement makes room. At QoS 0 the device must try again.
      if (this.#options.qos === 0 && device.owed > 0 && device.up) this.#enqueue(device);
    }
    // The ledger is the evidence for I1: the operating system has the lines before the first of
    // these packets leaves.
    this.#ledger.flush();
    for (const [device, packets] of writes) device.write(packets);
  }

  #enqueue(device: LoadDevice): void {
    if (device.queued || device.owed === 0) return;
    device.queued = true;
    this.#ready.push(device);
  }

  #setOffline(nowUs: number, endUs: number): void {
    const { offlineRatio: ratio, seconds } = this.#options;
    if (ratio === 0 || nowUs - this.#offlineCheckedUs < offlineCheckUs) return;
    this.#offlineCheckedUs = nowUs;
    const cycleUs = Math.min(offlineCycleUsMax, (seconds * 1e6) / 3);
    const plan = { ratio, cycleUs, untilUs: endUs * onlineAgainAt };
    this.#devices.forEach((device, index) =>
      device.setOffline(isOffline(plan, this.#phases[index] ?? 0, nowUs)),
    );
  }

  async #waitForAcks(): Promise<void> {
    for (const device of this.#devices) device.setOffline(false);
    const { counts } = this.#ledger;
    const done = () => this.#options.qos === 0 || counts.acked === counts.sent || this.#stops > 1;
    await this.#until(done, this.#options.ackTimeoutMs);
  }

  async #close(): Promise<void> {
    for (const device of this.#devices) device.close();
    await this.#until(() => this.#devices.every((device) => !device.up), closeTimeoutMs);
    for (const device of this.#devices) device.abandon();
  }

  /** Waits for a condition; returns false if the time is up first. */
  async #until(condition: () => boolean, timeoutMs: number): Promise<boolean> {
    if (condition()) return true;
    const { promise, resolve } = Promise.withResolvers<boolean>();
    const deadline = setTimeout(() => resolve(false), timeoutMs);
    this.#changed = () => {
      if (condition()) resolve(true);
    };
    const met = await promise;
    clearTimeout(deadline);
    this.#changed = () => undefined;
    return met;
  }

  #sweep(): void {
    const nowMs = performance.now();
    for (const device of this.#devices) device.sweep(nowMs);
    if (!this.#sending) return;
    this.#ledger.flush();
    const up = this.#devices.filter((device) => device.up).length;
    this.#observer.onProgress(this.#report.line(this.#nowUs(), up, this.#devices.length));
  }

  #summary(): LoadSummary {
    const { runId, qos, rate, seconds } = this.#options;
    let reconnects = 0;
    let outOfOrderAcks = 0;
    for (const device of this.#devices) {
      reconnects += Math.max(0, device.connections - 1);
      outOfOrderAcks += device.inFlight.outOfOrderAcks;
    }
    return this.#report.summary({
      runId,
      qos,
      reconnects,
      outOfOrderAcks,
      targetRatePerSecond: rate,
      interrupted: this.#interruptedAtUs !== undefined,
      plannedSeconds: (this.#interruptedAtUs ?? seconds * 1e6) / 1e6,
    });
  }
}

function devicePrefix(runId: string): string {
  return `load-${runId}-`;
}
