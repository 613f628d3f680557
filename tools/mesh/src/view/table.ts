/** Tables for people. */
import Table from 'cli-table3';

/** Rows under a head, without colours where nobody sees them. */
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
    // Not an address: nothing in it can be told from a password.
    return '***';
  }
}

/** `-` for what is not known. */
export function show(value: number | string | boolean | null | undefined): string {
  return value === null || value === undefined ? '-' : String(value);
}

/** Milliseconds with sensible digits. */
export function showMs(value: number | null | undefined): string {
  if (value === null || value === undefined) return '-';
  return value >= 1000 ? `${(value / 1000).toFixed(2)} s` : `${value.toFixed(value < 10 ? 1 : 0)} ms`;
}
