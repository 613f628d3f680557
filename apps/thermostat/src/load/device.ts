/** One device of a load run: its window, the readings that it owes, its connection, its resends. */
import { bareDataTopic, dataTopic } from '@thermomesh/contracts';
import type { LedgerWriter } from '@thermomesh/ledger';
import { fingerprint } from '@thermomesh/ledger';
import { RawLink } from '../adapters/raw-link.ts';
import { InFlight, type InFlightMessage } from '../core/in-flight.ts';
import { createPublishEncoder, type PublishEncoder } from '../core/packets.ts';
import { payloadOf, readingOf } from '../core/payload.ts';
import { makePoison, poisonKinds } from '../core/poison.ts';
import { symmetric, type Random } from '../core/random.ts';
import { reconnectPauseMs } from '../core/reconnect.ts';

/** A device at QoS 0 has no window. Above this number of bytes it waits until the broker reads. */
const waitingBytesMax = 256 * 1024;

/** What all devices of a run have in common. */
export interface LoadContext {
  host: string;
  port: number;
  qos: 0 | 1;
  window: number;
  seed: number;
  skewSeconds: number;
  poisonRatio: number;
  /** Start of the run, Unix ms. */
  startedAtMs: number;
  ledger: LedgerWriter;
  random: Random;
  /** Returns the time in microseconds after the start of the run. */
  nowUs(): number;
  /** Returns when reading `number` of `device` was due. */
  dueUs(device: number, number: number): number;
  onUp(device: LoadDevice): void;
  onDown(device: LoadDevice, reason: string, refused: number | undefined): void;
  /** Called when the device may send again. */
  onRoom(device: LoadDevice): void;
  onAck(message: InFlightMessage, nowUs: number): void;
}

/** Whether a device connects: `offline` on purpose, or `closing` at the end of the run. */
type DeviceState = 'online' | 'offline' | 'closing';

/** A device that sends the readings of a load run. */
export class LoadDevice {
  readonly index: number;
  readonly id: string;
  readonly inFlight = new InFlight();
  /** Number of readings that are due and not yet sent. */
  owed = 0;
  sent = 0;
  connections = 0;
  /** True while the device is in the sender's list of devices that may send. */
  queued = false;
  readonly #context: LoadContext;
  readonly #link: RawLink;
  readonly #encoder: PublishEncoder;
  readonly #skewMs: number;
  /** The seq of the last valid reading that was acknowledged. */
  #storedSeq: number | undefined;
  #failures = 0;
  #state: DeviceState = 'online';
  #retry: NodeJS.Timeout | undefined;

  constructor(context: LoadContext, index: number, id: string, password: string) {
    this.#context = context;
    this.index = index;
    this.id = id;
    this.#skewMs = Math.round(symmetric(context.random, context.skewSeconds * 1000));
    // The contract has two topics. One device in ten uses the one without the device id.
    this.#encoder = createPublishEncoder(index % 10 === 9 ? bareDataTopic : dataTopic(id), context.qos);
    this.#link = new RawLink(
      { host: context.host, port: context.port, clientId: id, password },
      {
        onUp: () => this.#onUp(),
        onPuback: (packetId) => this.#onPuback(packetId),
        onDown: (reason, refused) => this.#onDown(reason, refused),
      },
    );
  }

  get up(): boolean {
    return this.#link.up;
  }

  open(): void {
    this.#retry = undefined;
    this.#link.open(performance.now());
  }

  /**
   * Takes as many owed readings as the window has room for and records them in the ledger. Returns
   * their packets, which the caller passes to `write` after it has flushed the ledger; undefined if
   * there is nothing to send now.
   */
  prepare(): Buffer | undefined {
    const { qos, window } = this.#context;
    if (this.owed === 0 || !this.#link.up || this.#state === 'closing') return undefined;
    const room =
      qos === 1 ? window - this.inFlight.size : this.#link.waitingBytes > waitingBytesMax ? 0 : window;
    const count = Math.min(this.owed, room);
    if (count <= 0) return undefined;
    const nowUs = this.#context.nowUs();
    const messages: { payload: string; packetId: number | undefined }[] = [];
    for (let made = 0; made < count; made++) {
      const number = this.sent++;
      const { payload, good } = this.#make(number, nowUs);
      const packetId = qos === 1 ? this.inFlight.add({ number, payload, sentUs: nowUs, good }) : undefined;
      messages.push({ payload, packetId });
    }
    this.owed -= count;
    return this.#encode(messages, false);
  }

  write(packets: Buffer): void {
    this.#link.write(packets);
  }

  setOffline(offline: boolean): void {
    if (this.#state === 'closing' || offline === (this.#state === 'offline')) return;
    this.#state = offline ? 'offline' : 'online';
    if (offline) this.#link.cut();
    else if (!this.#link.up) this.#openLater(0);
  }

  sweep(nowMs: number): void {
    this.#link.sweep(nowMs, this.inFlight.size > 0);
  }

  close(): void {
    this.#state = 'closing';
    clearTimeout(this.#retry);
    if (this.#link.up) this.#link.end();
    else this.#link.cut();
  }

  /** Closes the connection at once, when a graceful shutdown has taken too long. */
  abandon(): void {
    this.close();
    this.#link.cut();
  }

  #make(number: number, nowUs: number): { payload: string; good: boolean } {
    const { ledger, random, poisonRatio, seed, startedAtMs } = this.#context;
    const measuredAtMs = Math.round(this.#context.dueUs(this.index, number) / 1000) + this.#skewMs;
    if (poisonRatio > 0 && random() < poisonRatio) {
      const kind = Math.floor(random() * poisonKinds);
      const poison = makePoison(kind, {
        deviceId: this.id,
        number,
        measuredAtMs: startedAtMs + measuredAtMs,
        storedSeq: this.#storedSeq,
      });
      const sha = fingerprint(Buffer.from(poison.payload, 'latin1'));
      const bytes = poison.payload.length;
      ledger.poisoned({ device: this.index, number, atUs: nowUs, reason: poison.reason, sha, bytes });
      return { payload: poison.payload, good: false };
    }
    const reading = readingOf(seed, this.index, number, startedAtMs + measuredAtMs);
    ledger.sent({ ...reading, device: this.index, number, atUs: nowUs, measuredAtMs });
    return { payload: payloadOf(this.id, number, reading), good: true };
  }

  #encode(messages: readonly { payload: string; packetId: number | undefined }[], dup: boolean): Buffer {
    let size = 0;
    for (const { payload } of messages) size += this.#encoder.bytes(payload);
    const packets = Buffer.allocUnsafe(size);
    let at = 0;
    for (const { payload, packetId } of messages)
      at = this.#encoder.write(packets, at, payload, packetId, dup);
    return packets;
  }

  #onUp(): void {
    this.#failures = 0;
    this.connections++;
    const pending = this.inFlight.pending();
    if (pending.length > 0) {
      const nowUs = this.#context.nowUs();
      for (const { number } of pending) this.#context.ledger.resent(this.index, number, nowUs);
      this.#link.write(this.#encode(pending, true));
    }
    this.#context.onUp(this);
    this.#context.onRoom(this);
  }

  #onPuback(packetId: number): void {
    const message = this.inFlight.ack(packetId);
    // The id is not in flight if the broker acknowledged both the first send and the resend.
    if (message === undefined) return;
    const nowUs = this.#context.nowUs();
    this.#context.ledger.acked(this.index, message.number, nowUs);
    this.#context.onAck(message, nowUs);
    if (message.good) this.#storedSeq = message.number;
    if (this.owed > 0) this.#context.onRoom(this);
  }

  #onDown(reason: string, refused: number | undefined): void {
    if (this.#state === 'online') this.#openLater(reconnectPauseMs(this.#failures++, this.#context.random));
    this.#context.onDown(this, reason, refused);
  }

  #openLater(delayMs: number): void {
    this.#retry ??= setTimeout(() => {
      this.#retry = undefined;
      if (this.#state === 'online') this.open();
    }, delayMs);
  }
}
