/** Removes acknowledged messages that have been kept for long enough, also without traffic. */
import type { MessageLog } from '../core/message-log.ts';

/** Works between `start` and `stop`. */
export interface KeptExpiry {
  start(): void;
  stop(): void;
}

/** Interval of the sweeps as a share of the time for which messages are kept, and its limits. */
const sweepShare = 0.1;
const sweepMsMin = 100;
const sweepMsMax = 10_000;

export function createKeptExpiry(messages: Pick<MessageLog, 'expireKept'>, keptMs: number): KeptExpiry {
  let timer: NodeJS.Timeout | undefined;
  return {
    start() {
      const everyMs = Math.min(Math.max(keptMs * sweepShare, sweepMsMin), sweepMsMax);
      timer = setInterval(() => messages.expireKept(), everyMs).unref();
    },
    stop: () => clearInterval(timer),
  };
}
