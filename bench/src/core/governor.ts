/**
 * Finds the highest rate that a chain keeps up with. The offered rate is a little above the drained
 * rate while the backlog is short, and below it while the backlog is long. So one window shows the
 * highest rate at a bounded backlog, with paced traffic, which a closed loop does not have.
 */

export interface GovernorOptions {
  /**
   * The backlog to aim at, in seconds of load: long enough to keep every process busy, and well
   * below the bound of one second.
   */
  backlogSeconds: number;
  rateMin: number;
  rateMax: number;
}

export interface Governor {
  /**
   * @param drained messages that have left the backlog since the start
   * @param backlog messages in the backlog now
   * @param nowMs any monotonic clock
   * @returns the next rate, messages per second
   */
  next(drained: number, backlog: number, nowMs: number): number;
}

/** Weight of the newest interval in the smoothed drain rate. */
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
