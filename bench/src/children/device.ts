/** One device of the generator: a raw socket, a window, readings in bursts. */
import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import type { RecordableHistogram } from 'node:perf_hooks';
import { recordLatency } from '@thermomesh/ledger';
import { generate } from 'mqtt-packet';
import { createReadingPackets, packetIdOf, type ReadingPackets } from '../core/reading-packet.ts';

/** Maximum number of unacknowledged readings of a device; a power of two. */
const windowMax = 128;
const connackBytes = 4;

export interface DeviceOptions {
  host: string;
  port: number;
  deviceId: string;
  /** Undefined for a broker without logins. */
  password: string | undefined;
  /** Receives the number of readings that were acknowledged. */
  onAcks: (device: Device, count: number) => void;
  /** The connection ended, or the broker broke the protocol: the measurement is void. */
  onError: (error: Error) => void;
  histogram: () => RecordableHistogram;
}

export class Device {
  readonly #options: DeviceOptions;
  readonly #packets: ReadingPackets;
  readonly #sentAtMs = new Float64Array(windowMax);
  #socket!: Socket;
  #sent = 0;
  #acked = 0;
  #rest: Buffer | undefined;
  #closing = false;

  constructor(options: DeviceOptions) {
    this.#options = options;
    this.#packets = createReadingPackets(options.deviceId);
  }

  get inFlight(): number {
    return this.#sent - this.#acked;
  }

  /** True if a burst of `count` fits the window. */
  hasRoom(count: number): boolean {
    return this.inFlight + count <= windowMax;
  }

  /** Connects and logs in. @throws Error if the broker refuses or closes */
  async open(): Promise<void> {
    const { host, port, deviceId, password, onError } = this.#options;
    this.#socket = connect({ host, port, noDelay: true });
    this.#socket.on('error', onError);
    this.#socket.on('close', () => {
      if (!this.#closing) onError(new Error(`the broker closed the connection of ${deviceId}`));
    });
    await once(this.#socket, 'connect');
    const credentials = password === undefined ? {} : { username: deviceId, password: Buffer.from(password) };
    const packet = {
      cmd: 'connect',
      protocolId: 'MQTT',
      protocolVersion: 4,
      clean: true,
      clientId: deviceId,
      keepalive: 0,
    } as const;
    this.#socket.write(generate({ ...packet, ...credentials }));
    const refused = once(this.#socket, 'close').then(() =>
      Promise.reject(new Error(`no CONNACK for ${deviceId}`)),
    );
    refused.catch(() => undefined);
    const [connack] = (await Promise.race([once(this.#socket, 'data'), refused])) as [Buffer];
    if (connack.length !== connackBytes || connack[3] !== 0)
      throw new Error(`CONNACK ${connack.toString('hex')}`);
    this.#socket.on('data', (chunk: Buffer) => this.#read(chunk));
  }

  /** Sends a burst in one write. */
  send(count: number): void {
    const { bytes } = this.#packets;
    const burst = Buffer.allocUnsafe(count * bytes);
    const nowMs = performance.now();
    const measuredAtMs = Math.floor(performance.timeOrigin + nowMs);
    for (let index = 0; index < count; index++) {
      this.#packets.write(burst, index * bytes, this.#sent, measuredAtMs);
      this.#sentAtMs[this.#sent % windowMax] = nowMs;
      this.#sent++;
    }
    this.#socket.write(burst);
  }

  close(): void {
    this.#closing = true;
    this.#socket.destroy();
  }

  /** Reads PUBACKs: four bytes each, in the order of the publishes [MQTT-4.6.0-2]. */
  #read(chunk: Buffer): void {
    const bytes = this.#rest === undefined ? chunk : Buffer.concat([this.#rest, chunk]);
    const nowMs = performance.now();
    const histogram = this.#options.histogram();
    const before = this.#acked;
    let at = 0;
    for (; at + 4 <= bytes.length; at += 4) {
      if (bytes.readUInt16BE(at) !== 0x4002 || bytes.readUInt16BE(at + 2) !== packetIdOf(this.#acked)) {
        return this.#options.onError(
          new Error(`not the PUBACK of reading ${this.#acked}: ${bytes.toString('hex', at, at + 4)}`),
        );
      }
      recordLatency(histogram, (nowMs - this.#sentAtMs[this.#acked % windowMax]!) * 1000);
      this.#acked++;
    }
    this.#rest = at === bytes.length ? undefined : bytes.subarray(at);
    if (this.#acked > before) this.#options.onAcks(this, this.#acked - before);
  }
}
