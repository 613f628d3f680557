/** Finds in a log why a process did not start. */
import { closeSync, existsSync, fstatSync, openSync, readSync, statSync } from 'node:fs';

/** Maximum number of bytes that are read, from the end of the log. */
const readBytesMax = 64 * 1024;
const linesMax = 8;
const fatalLevels: ReadonlySet<unknown> = new Set(['fatal', 60]);

interface LogEntry {
  level?: unknown;
  msg?: unknown;
  err?: { message?: unknown };
}

/** The size of a log now, from which {@link causeIn} reads later. */
export function sizeOf(logFile: string): number {
  return existsSync(logFile) ? statSync(logFile).size : 0;
}

/**
 * The cause of a failed start as the process wrote it: the message of its last fatal log entry, or
 * else the last lines that it printed for people. Undefined if it wrote neither.
 * @param offset size of the log before the start
 */
export function causeIn(logFile: string, offset: number): string | undefined {
  const plain: string[] = [];
  let fatal: string | undefined;
  for (const line of textFrom(logFile, offset).split('\n')) {
    const entry = entryOf(line);
    if (entry === undefined) {
      if (line.trim() !== '' && !isNoise(line)) plain.push(line.trimEnd());
    } else if (fatalLevels.has(entry.level)) {
      const text = entry.msg ?? entry.err?.message;
      if (typeof text === 'string') fatal = text;
    }
  }
  const first = plain.findIndex((line) => line.startsWith('configuration has '));
  const printed = first === -1 ? plain.slice(-linesMax) : plain.slice(first, first + 2 * linesMax);
  return fatal ?? (printed.length === 0 ? undefined : printed.join('\n'));
}

/** Whether this cause stays the same however often the process is started. */
export function isPermanent(cause: string | undefined): boolean {
  return cause?.startsWith('configuration has ') === true;
}

/** Stack frames, source excerpts and Node's own footer. */
function isNoise(line: string): boolean {
  return /^\s+at |^\s*\^+\s*$|^Node\.js v|^(file|node):\S+:\d+$|^[{}\]]/.test(line);
}

function entryOf(line: string): LogEntry | undefined {
  if (!line.startsWith('{"')) return undefined;
  try {
    return JSON.parse(line) as LogEntry;
  } catch {
    // The process was killed while it wrote this line.
    return {};
  }
}

function textFrom(logFile: string, offset: number): string {
  if (!existsSync(logFile)) return '';
  const file = openSync(logFile, 'r');
  try {
    const { size } = fstatSync(file);
    // A log that is shorter than before has been rotated.
    const start = Math.max(offset > size ? 0 : offset, size - readBytesMax);
    const bytes = Buffer.alloc(size - start);
    const read = readSync(file, bytes, 0, bytes.length, start);
    return bytes.subarray(0, read).toString('utf8');
  } finally {
    closeSync(file);
  }
}
