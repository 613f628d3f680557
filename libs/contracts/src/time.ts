/**
 * The one parser of times: readings of devices, queries of callers and the command line use it. A
 * time is RFC 3339 with a zone (`2026-01-01T12:00:00Z`) or Unix milliseconds.
 */

/** The times that are taken for real, in Unix ms, both ends included. */
export interface TimeLimits {
  minMs: number;
  maxMs: number;
}

/** Default limits: the years 2000 to 2099. A clock that says another year has not been set. */
export const plausibleTimes: TimeLimits = { minMs: Date.UTC(2000, 0, 1), maxMs: Date.UTC(2100, 0, 1) - 1 };

/** Unix ms, or what is wrong with the value, as the end of a sentence about it. */
export type ParsedTime = { ms: number } | { problem: string };

const rfc3339 =
  /^(\d{4})-(\d{2})-(\d{2})T(\d{2}):(\d{2})(?::(\d{2})(?:\.(\d+))?)?(?:Z|([+-])(\d{2}):(\d{2}))$/i;

/**
 * Parses a value of JSON: a string in RFC 3339 (seconds may be left out), or a number of Unix
 * milliseconds, whose fraction is cut off.
 */
export function parseTime(value: unknown, limits: TimeLimits = plausibleTimes): ParsedTime {
  if (typeof value === 'number') return parseMs(Math.trunc(value), limits);
  if (typeof value !== 'string') return { problem: 'must be RFC 3339 with a zone, or Unix milliseconds' };
  const match = rfc3339.exec(value);
  if (match === null) {
    const lacksZone = rfc3339.test(`${value}Z`);
    return { problem: lacksZone ? noZone : 'must be RFC 3339 with a zone, or Unix milliseconds' };
  }
  const [year, month, day, hour, minute, second = 0] = match.slice(1, 7).map((digits) => Number(digits ?? 0));
  return parseFields({ year, month, day, hour, minute, second } as Fields, match, limits);
}

/** Parses the text of a query or a flag: RFC 3339, or whole Unix milliseconds in digits. */
export function parseTimeText(text: string, limits: TimeLimits = plausibleTimes): ParsedTime {
  if (/T.* \d\d:\d\d$/i.test(text))
    return { problem: 'has a space before its zone: in a URL, write the "+" as %2B' };
  return parseTime(/^\d{1,16}$/.test(text) ? Number(text) : text, limits);
}

interface Fields {
  year: number;
  /** From 1. */
  month: number;
  day: number;
  hour: number;
  minute: number;
  second: number;
}

function parseFields(fields: Fields, match: RegExpExecArray, limits: TimeLimits): ParsedTime {
  const { year, month, day, hour, minute, second } = fields;
  const isDay = month >= 1 && month <= 12 && day >= 1 && day <= daysIn(year, month);
  if (!isDay) return { problem: 'names a day that does not exist' };
  if (hour > 23 || minute > 59 || second > 60) return { problem: noTimeOfDay };
  const [fraction = '', sign, zoneHours = '0', zoneMinutes = '0'] = match.slice(7, 11);
  if (Number(zoneHours) > 23 || Number(zoneMinutes) > 59)
    return { problem: 'has a zone that does not exist' };
  const zoneMs = (Number(zoneHours) * 60 + Number(zoneMinutes)) * 60_000 * (sign === '-' ? -1 : 1);
  const localMs =
    Date.UTC(year, month - 1, day, hour, minute, second) + Number(fraction.slice(0, 3).padEnd(3, '0'));
  if (second === 60 && !isAfterLeapSecond(localMs - zoneMs)) return { problem: noTimeOfDay };
  // Date.UTC takes the years 0 to 99 for 1900 to 1999.
  return year < 100 ? implausible(limits) : parseMs(localMs - zoneMs, limits);
}

/** A local time names no instant: it was once read in the zone of the host. */
const noZone = 'has no zone: end it with Z or an offset such as +02:00';
const noTimeOfDay = 'names a time of day that does not exist';

/**
 * Returns whether `ms` lies in the first second of a month. A leap second is the last second of a
 * month in UTC (RFC 3339, 5.7), and counts as the one that follows it.
 */
function isAfterLeapSecond(ms: number): boolean {
  const time = new Date(ms);
  return time.getUTCDate() === 1 && time.toISOString().includes('T00:00:00.');
}

function daysIn(year: number, month: number): number {
  return new Date(Date.UTC(year, month, 0)).getUTCDate();
}

function parseMs(ms: number, limits: TimeLimits): ParsedTime {
  if (ms >= limits.minMs && ms <= limits.maxMs) return { ms };
  const asSeconds = ms * 1000;
  if (asSeconds >= limits.minMs && asSeconds <= limits.maxMs)
    return { problem: 'looks like Unix seconds: send milliseconds' };
  return implausible(limits);
}

function implausible({ minMs, maxMs }: TimeLimits): ParsedTime {
  const [from, to] = [minMs, maxMs].map((ms) => new Date(ms).toISOString());
  return { problem: `must be a time from ${from} to ${to}` };
}

/** The limits that hold the years `from` to `to`, both included. */
export function timesOfYears(from: number, to: number): TimeLimits {
  return { minMs: Date.UTC(from, 0, 1), maxMs: Date.UTC(to + 1, 0, 1) - 1 };
}
