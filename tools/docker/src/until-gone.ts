/** Repeats a removal until nothing is left, and says what is left if that does not help. */
import { setTimeout as delay } from 'node:timers/promises';

/** Names of what is left, by kind, such as `networks`. */
export type Left = Readonly<Record<string, readonly string[]>>;

export interface Removal {
  /** Says what was to be removed, for the error. */
  what: string;
  /**
   * Removes what it can. An error counts only if something is left: an engine also reports what has
   * gone meanwhile as an error.
   * @param attempt 1 for the first
   */
  remove: (attempt: number) => Promise<unknown>;
  /** Looks for what is left. An error counts as an attempt that removed nothing. */
  look: () => Promise<Left>;
  attemptsMax: number;
  /** The pause before the second attempt; it doubles with each further one. */
  pauseMs: number;
  say: (line: string) => void;
  pause?: (ms: number) => Promise<unknown>;
}

/**
 * Removes again and again until nothing is left.
 * @throws Error that names what is left after the last attempt; its `cause` is the last error
 */
export async function untilGone(removal: Removal): Promise<void> {
  const { what, remove, look, attemptsMax, pauseMs, say, pause = delay } = removal;
  for (let attempt = 1; ; attempt += 1) {
    const errors: unknown[] = [];
    const keep = (error: unknown) => void errors.push(error);
    await remove(attempt).catch(keep);
    const left = await look().catch(keep);
    if (left !== undefined && isNothing(left)) return;
    const found = left === undefined ? 'what is left cannot be seen' : `left: ${describeLeft(left)}`;
    const why = errors.map((error) => `; ${lastLine(error)}`).join('');
    if (attempt >= attemptsMax)
      throw new Error(`${what} is not gone after ${attempt} attempts, ${found}${why}`, {
        cause: errors.at(-1),
      });
    say(`  ${what} is not gone after attempt ${attempt} of ${attemptsMax}, ${found}${why}`);
    await pause(pauseMs * 2 ** (attempt - 1));
  }
}

/**
 * Takes all steps in sequence, each one whether or not those before it failed.
 * @throws the error of the last step that failed
 */
export async function everyStep(steps: readonly (() => Promise<unknown>)[]): Promise<void> {
  const errors: unknown[] = [];
  for (const step of steps) await step().catch((error: unknown) => void errors.push(error));
  if (errors.length > 0) throw errors.at(-1);
}

function isNothing(left: Left): boolean {
  return Object.values(left).every((names) => names.length === 0);
}

/** Describes what is left in one line, such as `networks a, b; volumes c`. */
export function describeLeft(left: Left): string {
  const kinds = Object.entries(left).filter(([, names]) => names.length > 0);
  return kinds.map(([kind, names]) => `${kind} ${names.join(', ')}`).join('; ');
}

/** The last line of what a command printed, or else of the message: tools print progress first. */
function lastLine(error: unknown): string {
  const { stderr, message } = error as { stderr?: string; message?: string };
  const text = stderr !== undefined && stderr.trim() !== '' ? stderr : (message ?? String(error));
  return text.trim().split('\n').at(-1) ?? '';
}
