/** Durations as people type them. */
import { InvalidArgumentError } from 'commander';

const unitsMs = { s: 1_000, m: 60_000, h: 3_600_000, d: 86_400_000 } as const;
/** A longer time is a slip of the keyboard. */
const daysMax = 3_650;

/**
 * Parses a whole number with a unit, such as `90d`, to milliseconds.
 * @throws InvalidArgumentError
 */
export function parseDuration(text: string): number {
  const [, digits, unit] = /^(\d{1,9})([smhd])$/.exec(text) ?? [];
  const durationMs = Number(digits) * unitsMs[(unit ?? 's') as keyof typeof unitsMs];
  if (digits === undefined || durationMs === 0 || durationMs > daysMax * unitsMs.d)
    throw new InvalidArgumentError(
      `must be a whole number above 0 and a unit: s, m, h or d, at most ${daysMax}d; such as 12h or 90d.`,
    );
  return durationMs;
}

/** Parses a duration that may be zero, written `0`. @throws InvalidArgumentError */
export function parseGrace(text: string): number {
  return text === '0' ? 0 : parseDuration(text);
}
