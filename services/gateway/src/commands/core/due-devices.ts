/**
 * Which devices are looked at next. A device is due at once when it begins to listen or gets a
 * command, and again after a growing pause while it has commands that it has not acknowledged.
 */

export interface RetryLimits {
  /** Pause after the first delivery. */
  retryMinMs: number;
  /** Upper bound of the pause. */
  retryMaxMs: number;
}

interface Entry {
  dueMs: number;
  /** Deliveries in series without a wake-up. */
  tries: number;
}

/** The devices with work, by the time at which each is due. Times are of one monotonic clock. */
export class DueDevices {
  readonly #limits: RetryLimits;
  readonly #entries = new Map<string, Entry>();

  constructor(limits: RetryLimits) {
    this.#limits = limits;
  }

  get size(): number {
    return this.#entries.size;
  }

  /** Makes a device due at once, and its next pauses short. */
  wake(deviceId: string, nowMs: number): void {
    this.#entries.set(deviceId, { dueMs: nowMs, tries: 0 });
  }

  has(deviceId: string): boolean {
    return this.#entries.has(deviceId);
  }

  /** Takes at most `max` devices that are due; a device that is woken afterwards is due again. */
  take(nowMs: number, max: number): Map<string, number> {
    const taken = new Map<string, number>();
    for (const [deviceId, { dueMs, tries }] of this.#entries) {
      if (taken.size === max) break;
      if (dueMs > nowMs) continue;
      taken.set(deviceId, tries);
      this.#entries.delete(deviceId);
    }
    return taken;
  }

  /** Puts a device back whose commands were sent; a wake-up meanwhile counts more. */
  sent(deviceId: string, tries: number, nowMs: number): void {
    if (this.#entries.has(deviceId)) return;
    const pauseMs = Math.min(this.#limits.retryMaxMs, this.#limits.retryMinMs * 2 ** Math.min(tries, 20));
    this.#entries.set(deviceId, { dueMs: nowMs + pauseMs, tries: tries + 1 });
  }

  /** Puts devices back that could not be looked at. */
  failed(taken: ReadonlyMap<string, number>, dueMs: number): void {
    for (const [deviceId, tries] of taken)
      if (!this.#entries.has(deviceId)) this.#entries.set(deviceId, { dueMs, tries });
  }

  /** When the next device is due; undefined without one. */
  nextDueMs(): number | undefined {
    let next: number | undefined;
    for (const { dueMs } of this.#entries.values()) if (next === undefined || dueMs < next) next = dueMs;
    return next;
  }
}

/**
 * How long a command may still take to leave, in ms; 0 or less: it must not be sent.
 * @param remainingMs time to the deadline, as the database saw it during the query
 * @param elapsedMs time since the query began, by this process: never less than the real age
 */
export function sendableMs(remainingMs: number, elapsedMs: number, marginMs: number): number {
  return remainingMs - elapsedMs - marginMs;
}
