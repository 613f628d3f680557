/** Computes the pause before a process is started again. */

export const restartPauseMinMs = 50;
export const restartPauseMaxMs = 5_000;
/** A process that was up this long has recovered: the next pause is the shortest one. */
export const stableAfterMs = 10_000;

/**
 * The pause before the next start. It doubles from the shortest to the longest while the process
 * keeps dying young.
 * @param previousMs the pause before the last start; undefined if there was none
 * @param uptimeMs how long the process was up
 */
export function nextPauseMs(previousMs: number | undefined, uptimeMs: number): number {
  if (previousMs === undefined || uptimeMs >= stableAfterMs) return restartPauseMinMs;
  return Math.min(previousMs * 2, restartPauseMaxMs);
}
