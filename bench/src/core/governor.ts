/**
 * Finds the highest rate that a chain keeps up with: the offered rate follows what is drained, a little above it while the backlog
 * is short, below it while the backlog is long. So one window shows the highest rate at a bounded backlog, and the traffic stays
 * paced, which a closed loop's does not.
 */

export interface GovernorOptions {
  /** The backlog that is aimed at, as seconds of load: enough to keep everybody busy, well below the bound of one second. */
  backlogSeconds: number;
  rateMin: number;
  rateMax: number;
}

export interface Governor {
  /**
   * @param drained messages that have left the backlog so far
   * @param backlog messages in it now
   * @param nowMs any monotonic clock
   * @returns the next rate, messages per second
   */
  next(drained: number, backlog: number, nowMs: number): number;
}

/** Weight of the newest interval in the drain rate; the older ones keep the rest. */
const newestWeight = 0.3;
const growthMax = 1.25;
const growthMin = 0.6;

/** @param initial the first rate, messages per second */
export function createGovernor(
  initial: number,
  { backlogSeconds, rateMin, rateMax }: GovernorOptions,
): Governor {
  let drainRate = initial;
  let last: { drained: number; nowMs: number } | undefined;
  return {
    next(drained, backlog, nowMs) {
      if (last !== undefined && nowMs > last.nowMs) {
        const measured = ((drained - last.drained) / (nowMs - last.nowMs)) * 1000;
        drainRate += newestWeight * (measured - drainRate);
      }
      last = { drained, nowMs };
      const aim = Math.max(1, drainRate * backlogSeconds);
      const factor = Math.min(growthMax, Math.max(growthMin, 1 + 0.5 * (1 - backlog / aim)));
      return Math.min(rateMax, Math.max(rateMin, drainRate * factor));
    },
  };
}
