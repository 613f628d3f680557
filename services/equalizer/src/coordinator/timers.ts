/** Timers that are identified by their purpose. */
import type { Timer } from '@thermomesh/mapreduce';

export interface Timers {
  /** Starts a timer; one that runs already is restarted. */
  arm(timer: Timer, afterMs: number, fire: () => void): void;
  /** Stops a timer, if it runs. */
  disarm(timer: Timer): void;
  clear(): void;
}

export function createTimers(): Timers {
  const running = new Map<string, NodeJS.Timeout>();
  const disarm = (timer: Timer): void => {
    const key = keyOf(timer);
    clearTimeout(running.get(key));
    running.delete(key);
  };
  return {
    arm(timer, afterMs, fire) {
      disarm(timer);
      const key = keyOf(timer);
      const timeout = setTimeout(() => {
        running.delete(key);
        fire();
      }, afterMs);
      running.set(key, timeout);
    },
    disarm,
    clear() {
      for (const timeout of running.values()) clearTimeout(timeout);
      running.clear();
    },
  };
}

function keyOf(timer: Timer): string {
  if (timer.kind === 'retention') return `${timer.kind}/${timer.jobId}`;
  return `${timer.kind}/${timer.jobId}/${timer.phase}/${timer.chunk}/${timer.attempt}`;
}
