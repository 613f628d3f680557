/**
 * The schedule of a load run. Burst b is due b · burst / rate seconds after the start and belongs
 * to device b mod devices. All times follow from the run's clock and not from sleeps, so late
 * timers never lower the rate, and the readings that a device missed while it could not send can be
 * computed and need not be kept.
 */

export interface PacingOptions {
  devices: number;
  /** Readings per second over all devices. */
  rate: number;
  /** Number of readings that a device sends at once. */
  burst: number;
  seconds: number;
  /**
   * Number of readings that each device has kept from before the start, one per minute. They are
   * its first ones.
   */
  kept: number;
}

const minuteUs = 60_000_000;

/** The schedule of a run. */
export interface Pacing {
  /** Number of bursts in the whole run. */
  readonly bursts: number;
  /** Returns how many bursts are due `us` microseconds after the start. */
  burstsDueBy(us: number): number;
  /** Returns the device that sends a burst. */
  deviceOf(burst: number): number;
  /**
   * Returns when reading `number` (from 0) of `device` is due, in microseconds after the start;
   * negative for a kept reading.
   */
  dueUs(device: number, number: number): number;
}

/** Creates the schedule. */
export function createPacing({ devices, rate, burst, seconds, kept }: PacingOptions): Pacing {
  const burstsPerUs = rate / burst / 1e6;
  const bursts = Math.ceil((seconds * rate) / burst);
  return {
    bursts,
    // Burst 0 is due at time 0.
    burstsDueBy: (us) => (us < 0 ? 0 : Math.min(bursts, Math.floor(us * burstsPerUs) + 1)),
    deviceOf: (index) => index % devices,
    dueUs: (device, number) =>
      number < kept
        ? (number - kept) * minuteUs
        : (Math.floor((number - kept) / burst) * devices + device) / burstsPerUs,
  };
}

/** When devices are offline. */
export interface OfflineOptions {
  /** Share of the time during which a device is offline, in [0, 1). */
  ratio: number;
  /** Duration of one offline and one online period together. */
  cycleUs: number;
  /** After this time all devices are online, so that the back-fill ends within the run. */
  untilUs: number;
}

/**
 * Returns whether a device is offline; `phase` in [0, 1) shifts its cycle against other devices.
 */
export function isOffline({ ratio, cycleUs, untilUs }: OfflineOptions, phase: number, us: number): boolean {
  return ratio > 0 && us < untilUs && (us / cycleUs + phase) % 1 < ratio;
}
