/**
 * Gives open commands to devices that listen here, again and again until they are acknowledged or
 * expire (I9). The database marks what may be sent; this process sends it only while the deadline
 * is certainly ahead. Nothing waits in a session or a queue of the broker.
 */
import { codeOf, sleep, type CrashHook, type Log } from '@thermomesh/runtime';
import { messageOf, type DueCommand } from './core/command.ts';
import { DueDevices, sendableMs } from './core/due-devices.ts';
import type { CommandStore, DeviceLinks } from './core/ports.ts';
import type { CommandMetrics } from './metrics.ts';
import type { DeliveryLimits } from './settings.ts';

/** Maximum number of devices in one query, and of rows in one upkeep query. */
const devicesMax = 500;
const rowsMax = 1_000;
/** Pause between two removals of old commands. */
const forgetEveryMs = 60_000;

export interface DeliveryDeps {
  store: Pick<CommandStore, 'claim' | 'devicesWithNew' | 'expire' | 'forget'>;
  links: DeviceLinks;
  metrics: CommandMetrics;
  crash: CrashHook;
  log: Log;
  limits: DeliveryLimits;
  /** Time limit of one statement, after which a row with an earlier time can still appear. */
  statementMs: number;
  /** Monotonic time in ms. */
  now: () => number;
}

export interface Delivery {
  start(): void;
  /** A device begins to listen, or has a new command. */
  wake(deviceId: string): void;
  stop(): Promise<void>;
}

export function createDelivery(deps: DeliveryDeps): Delivery {
  return new CommandDelivery(deps);
}

class CommandDelivery implements Delivery {
  readonly #deps: DeliveryDeps;
  readonly #due: DueDevices;
  #pause = new AbortController();
  #stopped = false;
  #failing = false;
  #upkeepAtMs: number;
  #forgetAtMs: number;
  /** Begin of the last look for new commands that succeeded. */
  #lookedAtMs: number;
  #loop: Promise<void> = Promise.resolve();

  constructor(deps: DeliveryDeps) {
    this.#deps = deps;
    this.#due = new DueDevices(deps.limits);
    this.#upkeepAtMs = this.#forgetAtMs = this.#lookedAtMs = deps.now();
  }

  start(): void {
    this.#lookedAtMs = this.#deps.now();
    this.#loop = this.#run();
  }

  wake(deviceId: string): void {
    if (!this.#deps.links.listens(deviceId)) return;
    this.#due.wake(deviceId, this.#deps.now());
    this.#pause.abort();
  }

  async stop(): Promise<void> {
    this.#stopped = true;
    this.#pause.abort();
    await this.#loop;
  }

  async #run(): Promise<void> {
    const { now, limits } = this.#deps;
    while (!this.#stopped) {
      this.#pause = new AbortController();
      await this.#look();
      const nextMs = Math.min(this.#due.nextDueMs() ?? Infinity, this.#upkeepAtMs);
      // A database that is away is asked once an interval.
      const pauseMs = this.#failing ? limits.intervalMs : Math.max(0, nextMs - now());
      await sleep(pauseMs, this.#failing ? undefined : this.#pause.signal);
    }
  }

  async #look(): Promise<void> {
    const { log, metrics } = this.#deps;
    try {
      await this.#deliver();
      await this.#upkeep();
      this.#failing = false;
    } catch (error) {
      metrics.failed.inc({ code: codeOf(error) ?? 'unknown' });
      // Only the first failure of a series is logged; metrics and answers show the others.
      if (!this.#failing) log.warn({ event: 'command.database_failed', code: codeOf(error), err: error });
      this.#failing = true;
    }
  }

  async #deliver(): Promise<void> {
    const { store, links, limits, crash, now } = this.#deps;
    const taken = this.#due.take(now(), devicesMax);
    for (const deviceId of taken.keys()) if (!links.listens(deviceId)) taken.delete(deviceId);
    if (taken.size === 0) return;
    const askedMs = now();
    let commands: DueCommand[];
    try {
      commands = await store.claim([...taken.keys()], limits.marginMs);
    } catch (error) {
      this.#due.failed(taken, now());
      throw error;
    }
    if (commands.length > 0) crash('command.before-send');
    for (const command of commands) this.#send(command, askedMs);
    for (const deviceId of new Set(commands.map((command) => command.deviceId)))
      this.#due.sent(deviceId, taken.get(deviceId) ?? 0, now());
  }

  /**
   * @param askedMs when the query began. At least the time that the row names, less the time since
   *   then, is left.
   */
  #send(command: DueCommand, askedMs: number): void {
    const { links, limits, metrics, now } = this.#deps;
    const leftMs = sendableMs(command.remainingMs, now() - askedMs, limits.marginMs);
    if (leftMs <= 0) return;
    const payload = Buffer.from(JSON.stringify(messageOf(command, leftMs)));
    const connections = links.send(command.deviceId, payload, leftMs);
    if (connections > 0) metrics.deliveries.inc({ again: String(command.deliveries > 1) });
  }

  async #upkeep(): Promise<void> {
    const { store, links, limits, metrics, statementMs, log, now } = this.#deps;
    const startedMs = now();
    if (startedMs < this.#upkeepAtMs) return;
    const ageMs = startedMs - this.#lookedAtMs + limits.intervalMs + 2 * statementMs;
    for (const deviceId of await store.devicesWithNew(Math.ceil(ageMs)))
      if (!this.#due.has(deviceId) && links.listens(deviceId)) this.#due.wake(deviceId, now());
    this.#lookedAtMs = startedMs;
    const expired = await store.expire(rowsMax);
    if (expired > 0) {
      metrics.expired.inc(expired);
      log.info({ event: 'command.expired', count: expired });
    }
    if (startedMs >= this.#forgetAtMs) {
      await store.forget(limits.keepMs, rowsMax);
      this.#forgetAtMs = startedMs + forgetEveryMs;
    }
    this.#upkeepAtMs = startedMs + limits.intervalMs;
  }
}
