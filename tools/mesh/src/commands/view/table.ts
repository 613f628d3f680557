/** Tables and values as readable text. */
import Table from 'cli-table3';

/** Renders a table; `colours` is false if the output is not a terminal. */
export function table(head: string[], rows: (string | number)[][], colours: boolean): string {
  const compact = { mid: '', 'left-mid': '', 'mid-mid': '', 'right-mid': '' };
  const style = colours ? { head: ['bold'], border: ['grey'] } : { head: [], border: [] };
  const lines = new Table({ head, chars: compact, style });
  lines.push(...rows);
  return lines.toString();
}

/** The address without its password. */
export function maskPassword(url: string | null): string {
  if (url === null) return '-';
  try {
    const parsed = new URL(url);
    if (parsed.password !== '') parsed.password = '***';
    return parsed.href;
  } catch {
    // This is not an address, so any part of it may be a password.
    return '***';
  }
}

/** Renders an unknown value as `-`. */
export function show(value: number | string | boolean | null | undefined): string {
  return value === null || value === undefined ? '-' : String(value);
}

/** Renders milliseconds with sensible digits. */
export function showMs(value: number | null | undefined): string {
  if (value === null || value === undefined) return '-';
  return value >= 1000 ? `${(value / 1000).toFixed(2)} s` : `${value.toFixed(value < 10 ? 1 : 0)} ms`;
}
