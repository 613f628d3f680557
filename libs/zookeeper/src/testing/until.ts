/** Waiting in tests: for a condition, with a deadline. */
import { setTimeout as delay } from 'node:timers/promises';

const deadlineMs = 30_000;
const pollMs = 5;

/** @param what the condition, for the message */
export async function until(
  holds: () => boolean | Promise<boolean>,
  what: string,
  timeoutMs = deadlineMs,
): Promise<void> {
  const deadline = Date.now() + timeoutMs;
  while (!(await holds())) {
    if (Date.now() > deadline) throw new Error(`waited in vain for ${what}`);
    await delay(pollMs);
  }
}
