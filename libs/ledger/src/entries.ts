/**
 * The messages of a run, stored by columns: ten million entries take about half a gigabyte instead
 * of several. An entry is found by (device, number). The numbers of a device are dense from its
 * first one, so the index is an array.
 */

const entriesAtStart = 1024;

/** Bits of `flags`. */
const heatingBit = 1;
const heatingKnownBit = 2;
const poisonBit = 4;

/** Values of one good reading; absent ones are NaN. */
export interface EntryValues {
  measuredAtMs: number;
  celsius: number;
  setpointCelsius: number;
  humidityPercent: number;
  heating: boolean | null;
}

/**
 * Append-only columns. Times are microseconds since the run's start; `ackedUs` is NaN until the ack
 * is seen.
 */
export class Entries {
  count = 0;
  device = new Int32Array(entriesAtStart);
  number = new Int32Array(entriesAtStart);
  sentUs = new Float64Array(entriesAtStart);
  ackedUs = new Float64Array(entriesAtStart);
  measuredAtMs = new Float64Array(entriesAtStart);
  celsius = new Float32Array(entriesAtStart);
  setpointCelsius = new Float32Array(entriesAtStart);
  humidityPercent = new Float32Array(entriesAtStart);
  /** How often the device sent the message again, up to 255. */
  resent = new Uint8Array(entriesAtStart);
  #flags = new Uint8Array(entriesAtStart);
  #index: (DenseIndex | undefined)[] = [];
  #reasons = new Map<number, string>();
  #poison = new Map<string, number>();

  /** Adds a good reading; returns its position, or -1 if (device, number) is taken. */
  add(device: number, number: number, sentUs: number, values: EntryValues): number {
    const at = this.#append(device, number, sentUs);
    if (at < 0) return at;
    this.measuredAtMs[at] = values.measuredAtMs;
    this.celsius[at] = values.celsius;
    this.setpointCelsius[at] = values.setpointCelsius;
    this.humidityPercent[at] = values.humidityPercent;
    this.#flags[at] = values.heating === null ? 0 : heatingKnownBit | (values.heating ? heatingBit : 0);
    return at;
  }

  /**
   * Adds a poison message; returns its position, or -1 if (device, number) or (device, sha) is
   * taken.
   */
  addPoison(device: number, number: number, sentUs: number, reason: string, sha: string): number {
    const key = `${device}/${sha}`;
    const at = this.#poison.has(key) ? -1 : this.#append(device, number, sentUs);
    if (at < 0) return at;
    this.#flags[at] = poisonBit;
    this.#reasons.set(at, reason);
    this.#poison.set(key, at);
    return at;
  }

  /** The position of a message; -1 if there is none. */
  find(device: number, number: number): number {
    const index = this.#index[device];
    return index === undefined ? -1 : (index.positions[number - index.first] ?? 0) - 1;
  }

  /** The position of the poison message with this fingerprint; -1 if there is none. */
  findPoison(device: number, sha: string): number {
    return this.#poison.get(`${device}/${sha}`) ?? -1;
  }

  /** Why the message has to be rejected; undefined for a good reading. */
  expectedReason(at: number): string | undefined {
    return this.#reasons.get(at);
  }

  isPoison(at: number): boolean {
    return ((this.#flags[at] ?? 0) & poisonBit) !== 0;
  }

  heating(at: number): boolean | null {
    const flags = this.#flags[at] ?? 0;
    return (flags & heatingKnownBit) === 0 ? null : (flags & heatingBit) !== 0;
  }

  #append(device: number, number: number, sentUs: number): number {
    if (this.find(device, number) >= 0) return -1;
    if (this.count === this.device.length) this.#grow();
    const at = this.count++;
    this.device[at] = device;
    this.number[at] = number;
    this.sentUs[at] = sentUs;
    this.ackedUs[at] = NaN;
    this.#index[device] = indexWith(this.#index[device], number);
    this.#index[device].positions[number - this.#index[device].first] = at + 1;
    return at;
  }

  #grow(): void {
    const size = this.device.length * 2;
    this.device = grown(this.device, size);
    this.number = grown(this.number, size);
    this.sentUs = grown(this.sentUs, size);
    this.ackedUs = grown(this.ackedUs, size);
    this.measuredAtMs = grown(this.measuredAtMs, size);
    this.celsius = grown(this.celsius, size);
    this.setpointCelsius = grown(this.setpointCelsius, size);
    this.humidityPercent = grown(this.humidityPercent, size);
    this.resent = grown(this.resent, size);
    this.#flags = grown(this.#flags, size);
  }
}

/** Positions plus one by number, from `first` on; 0 where there is no entry. */
interface DenseIndex {
  first: number;
  positions: Int32Array;
}

/** The index with room for `number`, which may come before all others. */
function indexWith(index: DenseIndex | undefined, number: number): DenseIndex {
  if (index === undefined) return { first: number, positions: new Int32Array(16) };
  const { first, positions } = index;
  if (number >= first) {
    const size = number - first + 1;
    if (size <= positions.length) return index;
    return { first, positions: grown(positions, Math.max(size, positions.length * 2)) };
  }
  const earlier = new Int32Array(positions.length + first - number);
  earlier.set(positions, first - number);
  return { first: number, positions: earlier };
}

interface Column<T> extends ArrayLike<number> {
  set(values: T): void;
}

function grown<T extends Column<T>>(column: T, size: number): T {
  const larger = new (column.constructor as new (size: number) => T)(size);
  larger.set(column);
  return larger;
}
