/** The load generator: connects the devices, keeps the schedule, waits for the acks, closes the ledger. */
import { ledgerExtension, openLedger, type LedgerWriter } from '@thermomesh/ledger';
import { deriveToken, MeshError, subjects } from '@thermomesh/runtime';
import path from 'node:path';
import { setTimeout } from 'node:timers/promises';
import { checkOpenFiles } from '../adapters/open-files.ts';
import { createPacing, isOffline, type Pacing } from '../core/pacing.ts';
import { createRandom, type Random } from '../core/random.ts';
import { LoadDevice, type LoadContext } from './device.ts';
import { LoadReport, type LoadSummary } from './report.ts';

/** What a run is asked for; see the README for each. */
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
  /** Each device begins with the readings of so many minutes that it was offline, one a minute. */
  backfillMinutes: number;
  /** First connections are made within this time, and readings sent as soon as they stand; 0: all devices connect first. */
  stormSeconds: number;
  poisonRatio: number;
  ackTimeoutMs: number;
  connectTimeoutMs: number;
  runId: string;
  seed: number;
  ledgerFolder: string;
  mesh: string;
}

/** What a run tells while it runs. */
export interface LoadObserver {
  /** All devices are connected and sending begins. */
  onReady(ledgerFile: string): void;
  /** About once a second. */
  onProgress(line: string): void;
}

export interface LoadRun {
  /** Ends with the summary; rejects with a MeshError if the run could not take place. */
  readonly done: Promise<LoadSummary>;
  /** No new readings; a second call also ends the wait for acks. */
  stop(): void;
}

/** First connections that may be under way at once: a listening broker's backlog is 511. */
const connectsAtOnceMax = 200;
const tickMs = 1;
const sweepMs = 1000;
const offlineCheckUs = 100_000;
/** How long one device is offline and online again. */
const offlineCycleUsMax = 10_000_000;
/** Share of the run after which every device stays online, so that its back-fill falls into the run. */
const onlineAgainAt = 0.8;
/** Readings that were due at the very end get this long to find room in the window. */
const lastReadingsUs = 250_000;
const closeTimeoutMs = 5000;
/** CONNACK return codes 4 and 5: the credentials are wrong, and will be wrong at the next try too. */
const isCredentialFault = (returnCode: number | undefined) => returnCode === 4 || returnCode === 5;

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
  /** Where in its cycle of offline periods each device begins. */
  readonly #phases: number[];
  #ledger!: LedgerWriter;
  #report!: LoadReport;
  #startedAtMs = 0;
  #startedAt = 0;
  #sending = false;
  /** Devices that owe readings and may have room for them. */
  #ready: LoadDevice[] = [];
  #burstsDue = 0;
  #opened = 0;
  #connected = 0;
  #lastDown = '';
  #stops = 0;
  #interruptedAtUs: number | undefined;
  #offlineCheckedUs = 0;
  #fault: MeshError | undefined;
  /** Looks again at what is waited for; called after every change that could bring it about. */
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
    // The getters below have a `this` of their own.
    const run = this;
    const { host, port, qos, window, seed, skewSeconds, poisonRatio } = this.#options;
    return {
      ...{ host, port, qos, window, seed, skewSeconds, poisonRatio, random },
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

  /** The first connection of every device; goes on without those that are not up in time, as long as there is one. */
  async #connect(): Promise<void> {
    this.#openMore();
    const everyone = () =>
      this.#connected === this.#devices.length || this.#fault !== undefined || this.#stops > 0;
    await this.#until(everyone, this.#options.connectTimeoutMs);
    if (this.#fault !== undefined) throw this.#fault;
    if (this.#connected === 0 && this.#stops === 0) throw this.#noBroker();
    for (; this.#opened < this.#devices.length; this.#opened++) this.#devices[this.#opened]?.open();
  }

  #noBroker(): MeshError {
    const { host, port } = this.#options;
    return new MeshError('load.no_broker', `no device could connect to ${host}:${port}: ${this.#lastDown}`, {
      retriable: true,
    });
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
    if ((!this.#sending || this.#connected === 0) && isCredentialFault(refused)) {
      this.#fault = new MeshError(
        'load.refused',
        `the broker refuses ${device.id}: wrong secret, or another mesh`,
      );
    }
    this.#changed();
  }

  #openLedger(): void {
    const { secret: _secret, host, port, ...told } = this.#options;
    const { runId, mesh, qos, devices, ledgerFolder } = this.#options;
    this.#startedAtMs = Date.now();
    this.#startedAt = performance.now();
    this.#ledger = openLedger(path.resolve(ledgerFolder, runId + ledgerExtension), {
      ...{ runId, mesh, qos, devices, startedAtMs: this.#startedAtMs, devicePrefix: devicePrefix(runId) },
      options: { ...told, mqttUrl: `mqtt://${host}:${port}` },
    });
    this.#report = new LoadReport(this.#ledger);
  }

  /** Sends until the time is over and nobody owes anything, or the grace for that is over too, or a signal ends it. */
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
      this.#throwFault(nowUs);
      if (this.#stops > 0) {
        this.#interruptedAtUs = Math.min(nowUs, endUs);
        return;
      }
      if (nowUs >= endUs + graceUs) return;
      this.#tick(nowUs, endUs);
      if (nowUs >= endUs && this.#devices.every((device) => device.owed === 0)) return;
      await setTimeout(tickMs);
    }
  }

  /** A storm meets its first connection, or the refusal of it, only while it sends. */
  #throwFault(nowUs: number): void {
    const none = this.#connected === 0 && nowUs > this.#options.connectTimeoutMs * 1000;
    const fault = this.#fault ?? (none ? this.#noBroker() : undefined);
    if (fault === undefined) return;
    this.#ledger.close(true);
    throw fault;
  }

  /** A reconnect storm: every device at its own moment, whatever has become of those before. */
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
      // At QoS 1 an ack makes room; at QoS 0 nothing does but time.
      if (this.#options.qos === 0 && device.owed > 0 && device.up) this.#enqueue(device);
    }
    // I1's evidence: the sent lines are the operating system's before the first of these packets leaves.
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

  /** Waits for a condition; false if the time is over first. */
  async #until(condition: () => boolean, timeoutMs: number): Promise<boolean> {
    if (condition()) return true;
    const { promise, resolve } = Promise.withResolvers<boolean>();
    const deadline = globalThis.setTimeout(() => resolve(false), timeoutMs);
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
      ...{ runId, qos, reconnects, outOfOrderAcks, targetRatePerSecond: rate },
      interrupted: this.#interruptedAtUs !== undefined,
      plannedSeconds: (this.#interruptedAtUs ?? seconds * 1e6) / 1e6,
    });
  }
}

function devicePrefix(runId: string): string {
  return `load-${runId}-`;
}
