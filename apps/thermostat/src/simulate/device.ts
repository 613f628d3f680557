/** One simulated thermostat: its room, its clock, its readings and its connection to the broker. */
import { dataTopic, type Reading } from '@thermomesh/contracts';
import { MqttLink } from '../adapters/mqtt-link.ts';
import type { DeviceMemory } from '../adapters/state-file.ts';
import { deviceTimeMs, type ClockTraits } from '../core/clock.ts';
import { Outbox } from '../core/outbox.ts';
import { symmetric, type Random } from '../core/random.ts';
import { reconnectPauseMs } from '../core/reconnect.ts';
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
  /** Called after every change that a graceful shutdown may wait for. */
  onChange(): void;
  /** Receives each reading before it is published, also before it is published again. */
  onSend(reading: Reading): void;
  onAcked(seq: number): void;
  /** Receives a reading that is dropped because the outbox is full. */
  onDropped(seq: number): void;
}

/** Whether a device connects: `offline` on purpose, or `stopped` because it is closed. */
type DeviceState = 'online' | 'offline' | 'stopped';

/** A thermostat that measures and publishes. */
export class Device {
  readonly id: string;
  /** Which life of the device this is. */
  readonly incarnation: number;
  readonly sequence: Sequence;
  readonly outbox: Outbox;
  made = 0;
  acked = 0;
  /** Number of measurements without a seq, because the state file could not be written. */
  skipped = 0;
  connections = 0;
  readonly #options: DeviceOptions;
  readonly #link: MqttLink;
  readonly #room: RoomTraits;
  readonly #clock: ClockTraits;
  readonly #originMs = Date.now();
  #roomState: RoomState;
  #measuredAtMs = this.#originMs;
  #failures = 0;
  #state: DeviceState = 'online';
  #retry: NodeJS.Timeout | undefined;

  constructor(options: DeviceOptions) {
    const { random } = options;
    this.#options = options;
    this.id = options.id;
    this.incarnation = options.memory.incarnation ?? 0;
    this.sequence = new Sequence(options.memory.nextSeq);
    // A file of an earlier version names no incarnation in its readings.
    const kept = options.memory.kept.map((reading) => ({
      ...reading,
      incarnation: reading.incarnation ?? 0,
    }));
    this.outbox = new Outbox(options.keptReadingsMax, kept);
    this.#room = {
      timeConstantHours: 8 + random() * 30,
      heaterCelsiusPerHour: 2 + random() * 3,
      hysteresisCelsius: 0.2 + random() * 0.3,
    };
    this.#clock = {
      skewMs: symmetric(random, options.skewMs),
      driftPpm: symmetric(random, options.driftPpm),
    };
    this.#roomState = { celsius: 17 + random() * 4, heating: false };
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
    if (this.#state === 'online') this.#link.open();
  }

  /** Measures, keeps the reading and sends as many readings as the window allows. */
  measure(nowMs: number): void {
    const hour = hourOfDayAt(nowMs);
    const outside = outsideCelsiusAt(hour, outsideMeanCelsius, outsideSwingCelsius);
    const setpointCelsius = setpointCelsiusAt(hour);
    this.#roomState = stepRoom(
      this.#roomState,
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
    const dropped = this.outbox.add({
      deviceId: this.id,
      incarnation: this.incarnation,
      seq,
      measuredAtMs: deviceTimeMs(this.#clock, this.#originMs, nowMs),
      celsius: round(this.#roomState.celsius),
      setpointCelsius,
      humidityPercent: round(humidityPercentAt(this.#roomState.celsius)),
      heating: this.#roomState.heating,
    });
    if (dropped !== undefined) this.#options.onDropped(dropped.seq);
    this.#pump();
  }

  setOffline(offline: boolean): void {
    if (this.#state === 'stopped' || offline === (this.#state === 'offline')) return;
    this.#state = offline ? 'offline' : 'online';
    if (offline) this.#link.cut();
    else this.#retry ??= this.#later(0);
  }

  /** Closes the connection; the device does not connect again. */
  async close(): Promise<void> {
    this.#state = 'stopped';
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
    if (this.#state === 'online')
      this.#retry ??= this.#later(reconnectPauseMs(this.#failures++, this.#options.random));
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
      this.#options.onSend(reading);
      this.#link.publish(dataTopic(this.id), payloadOf(reading), () => this.#onAck(reading.seq));
    }
  }

  #onAck(seq: number): void {
    if (!this.outbox.acked(seq)) return;
    this.acked++;
    this.#options.onAcked(seq);
    this.#pump();
    this.#options.onChange();
  }
}

/**
 * Returns the reading as JSON, with the time in ISO 8601. The first life of a device has no name.
 */
function payloadOf({ measuredAtMs, incarnation, ...values }: Reading): string {
  const life = incarnation > 0 ? { incarnation } : {};
  return JSON.stringify({ ...values, ...life, measuredAt: new Date(measuredAtMs).toISOString() });
}

function round(value: number): number {
  return Math.round(value * 100) / 100;
}
