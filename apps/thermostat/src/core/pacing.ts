/**
 * The schedule of a load: burst b is due at b · burst / rate seconds and is device (b mod devices)'s. Everything follows from
 * the run's clock and nothing from sleeps, so that late timers never lower the rate; and what a device measured while it could
 * not send is known without being kept.
 */

export interface PacingOptions {
  devices: number;
  /** Readings per second over all devices. */
  rate: number;
  /** Readings a device sends at once. */
  burst: number;
  seconds: number;
  /** Readings that each device has kept from before the start, one a minute: its first numbers. */
  kept: number;
}

const minuteUs = 60_000_000;

export interface Pacing {
  /** Bursts of the whole run. */
  readonly bursts: number;
  /** How many bursts are due `us` microseconds after the start. */
  burstsDueBy(us: number): number;
  deviceOf(burst: number): number;
  /** When reading `number` (from 0) of `device` is due, in microseconds after the start; before it, if it was kept. */
  dueUs(device: number, number: number): number;
}

export function createPacing({ devices, rate, burst, seconds, kept }: PacingOptions): Pacing {
  const burstsPerUs = rate / burst / 1e6;
  const bursts = Math.ceil((seconds * rate) / burst);
  return {
    bursts,
    // Burst 0 is due at 0, hence the one more.
    burstsDueBy: (us) => (us < 0 ? 0 : Math.min(bursts, Math.floor(us * burstsPerUs) + 1)),
    deviceOf: (index) => index % devices,
    dueUs: (device, number) =>
      number < kept
        ? (number - kept) * minuteUs
        : (Math.floor((number - kept) / burst) * devices + device) / burstsPerUs,
  };
}

export interface OfflineOptions {
  /** Share of the time that a device is offline, from 0 to below 1. */
  ratio: number;
  cycleUs: number;
  /** From then on everybody is online, so that back-fill can end within the run. */
  untilUs: number;
}

/** Whether a device is offline; `phase` from 0 to 1 sets the devices apart. */
export function isOffline({ ratio, cycleUs, untilUs }: OfflineOptions, phase: number, us: number): boolean {
  return ratio > 0 && us < untilUs && (us / cycleUs + phase) % 1 < ratio;
}
