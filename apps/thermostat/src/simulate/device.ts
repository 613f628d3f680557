/** One simulated thermostat: its room, its clock, its readings and their way to the broker. */
import { dataTopic, type Reading } from '@thermomesh/contracts';
import { MqttLink } from '../adapters/mqtt-link.ts';
import type { DeviceMemory } from '../adapters/state-file.ts';
import { backoffMs } from '../core/backoff.ts';
import { deviceTimeMs, type ClockTraits } from '../core/clock.ts';
import { Outbox } from '../core/outbox.ts';
import { symmetric, type Random } from '../core/random.ts';
import {
  hourOfDayAt,
  humidityPercentAt,
  outsideCelsiusAt,
  setpointCelsiusAt,
  stepRoom,
  type RoomState,
  type RoomTraits,
} from '../core/room.ts';
import { Sequence } from '../core/sequence.ts';

const outsideMeanCelsius = 6;
const outsideSwingCelsius = 5;

export interface DeviceOptions {
  id: string;
  host: string;
  port: number;
  password: string;
  window: number;
  keptReadingsMax: number;
  skewMs: number;
  driftPpm: number;
  memory: DeviceMemory;
  random: Random;
  /** Called after everything that a stop may wait for. */
  onChange(): void;
}

export class Device {
  readonly id: string;
  readonly sequence: Sequence;
  readonly outbox: Outbox;
  made = 0;
  acked = 0;
  /** Measurements that could not be numbered, because the state file could not be written. */
  skipped = 0;
  connections = 0;
  readonly #options: DeviceOptions;
  readonly #link: MqttLink;
  readonly #room: RoomTraits;
  readonly #clock: ClockTraits;
  readonly #originMs = Date.now();
  #state: RoomState;
  #measuredAtMs = this.#originMs;
  #failures = 0;
  #offline = false;
  #stopped = false;
  #retry: NodeJS.Timeout | undefined;

  constructor(options: DeviceOptions) {
    const { random } = options;
    this.#options = options;
    this.id = options.id;
    this.sequence = new Sequence(options.memory.nextSeq);
    this.outbox = new Outbox(options.keptReadingsMax, options.memory.kept);
    this.#room = {
      timeConstantHours: 8 + random() * 30,
      heaterCelsiusPerHour: 2 + random() * 3,
      hysteresisCelsius: 0.2 + random() * 0.3,
    };
    this.#clock = {
      skewMs: symmetric(random, options.skewMs),
      driftPpm: symmetric(random, options.driftPpm),
    };
    this.#state = { celsius: 17 + random() * 4, heating: false };
    const { id: clientId, host, port, password } = options;
    this.#link = new MqttLink(
      { clientId, host, port, password },
      { onUp: () => this.#onUp(), onDown: () => this.#onDown() },
    );
  }

  get up(): boolean {
    return this.#link.up;
  }

  connect(): void {
    if (!this.#stopped && !this.#offline) this.#link.open();
  }

  /** Measures, keeps the reading and sends what can be sent. */
  measure(nowMs: number): void {
    const hour = hourOfDayAt(nowMs);
    const outside = outsideCelsiusAt(hour, outsideMeanCelsius, outsideSwingCelsius);
    const setpointCelsius = setpointCelsiusAt(hour);
    this.#state = stepRoom(
      this.#state,
      this.#room,
      outside,
      setpointCelsius,
      Math.max(0, nowMs - this.#measuredAtMs) / 3_600_000,
    );
    this.#measuredAtMs = nowMs;
    const seq = this.sequence.take();
    if (seq === undefined) {
      this.skipped++;
      return;
    }
    this.made++;
    this.outbox.add({
      deviceId: this.id,
      seq,
      measuredAtMs: deviceTimeMs(this.#clock, this.#originMs, nowMs),
      celsius: round(this.#state.celsius),
      setpointCelsius,
      humidityPercent: round(humidityPercentAt(this.#state.celsius)),
      heating: this.#state.heating,
    });
    this.#pump();
  }

  setOffline(offline: boolean): void {
    if (offline === this.#offline) return;
    this.#offline = offline;
    if (offline) this.#link.cut();
    else this.#retry ??= this.#later(0);
  }

  /** Everything but the connection ends: nothing is measured, what is unacknowledged may still be. */
  async close(): Promise<void> {
    this.#stopped = true;
    clearTimeout(this.#retry);
    await this.#link.end();
  }

  #onUp(): void {
    this.#failures = 0;
    this.connections++;
    this.#pump();
  }

  #onDown(): void {
    this.outbox.lost();
    if (!this.#stopped && !this.#offline)
      this.#retry ??= this.#later(backoffMs(this.#failures++, this.#options.random));
    this.#options.onChange();
  }

  #later(delayMs: number): NodeJS.Timeout {
    return setTimeout(() => {
      this.#retry = undefined;
      if (!this.#link.up) this.connect();
    }, delayMs);
  }

  #pump(): void {
    while (this.#link.up) {
      const reading = this.outbox.take(this.#options.window);
      if (reading === undefined) return;
      this.#link.publish(dataTopic(this.id), payloadOf(reading), () => this.#onAck(reading.seq));
    }
  }

  #onAck(seq: number): void {
    if (!this.outbox.acked(seq)) return;
    this.acked++;
    this.#pump();
    this.#options.onChange();
  }
}

/** The reading as JSON, with the time in ISO 8601. */
function payloadOf({ measuredAtMs, ...values }: Reading): string {
  return JSON.stringify({ ...values, measuredAt: new Date(measuredAtMs).toISOString() });
}

function round(value: number): number {
  return Math.round(value * 100) / 100;
}
