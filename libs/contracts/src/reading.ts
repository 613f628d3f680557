/** `thermostat.reading.v1`: the message of the fleet, and the reasons to refuse one. */
import { isDeviceId } from './ids.ts';
import { repeatedMember } from './json-ambiguity.ts';
import { parseTime, plausibleTimes, type TimeLimits } from './time.ts';

/** A reading that passed every check. Temperatures in °C, times in Unix ms. */
export interface Reading {
  deviceId: string;
  /**
   * Which life of the device this is; 0 if the message names none. A device that has lost its
   * memory takes a higher one and counts `seq` from 0 again.
   */
  incarnation: number;
  /**
   * Grows by one with each reading of the device; survives restarts of the device. A reading that
   * names none has the Unix milliseconds of `measuredAt` as its `seq`, so the same reading sent
   * again is the same reading (ADR 0024).
   */
  seq: number;
  measuredAtMs: number;
  celsius: number;
  setpointCelsius: number | null;
  humidityPercent: number | null;
  heating: boolean | null;
}

/**
 * Why a message was written to `rejected_readings`. Dashboards and tests count by this closed list.
 */
export const rejectionReasons = [
  'too_large',
  'not_json',
  'not_an_object',
  'bad_topic',
  'device_mismatch',
  'bad_seq',
  'bad_measured_at',
  'bad_celsius',
  'bad_setpoint_celsius',
  'bad_humidity_percent',
  'bad_heating',
  'seq_conflict',
  'refused_by_database',
  'bad_incarnation',
  'repeated_field',
] as const;
export type RejectionReason = (typeof rejectionReasons)[number];

/** A message that cannot become a row of `readings`. `seq` is set if it could be read. */
export interface Rejection {
  reason: RejectionReason;
  detail: string;
  seq: number | null;
}

/** Largest accepted payload of a reading, in bytes (design: "≤ 4 KiB"). */
export const readingBytesMax = 4096;

/**
 * The least `seq` that is taken for a time in Unix milliseconds: 3 March 1973. A device that counts
 * its readings never comes this far.
 */
export const timeSeqMin = 100_000_000_000;

/** Physical limits: below absolute zero nothing exists; above, no room thermostat measures. */
export const celsiusMin = -273.15;
export const celsiusMax = 1000;

/** The outcome of {@link parseReading}. */
export type ParsedReading =
  | {
      reading: Reading;
      /** Names of fields that the contract does not have; they were left out. Bounded. */
      unknownFields?: string[];
    }
  | { rejection: Rejection };

/**
 * Reads and checks one payload. Never throws; unknown fields are left out, not refused.
 * @param payload the bytes as the device sent them
 * @param deviceId the device that published them, from the topic that the gateway checked
 * @param times the times at which a reading may be measured
 */
export function parseReading(
  payload: Uint8Array,
  deviceId: string | undefined,
  times: TimeLimits = plausibleTimes,
): ParsedReading {
  if (deviceId === undefined || !isDeviceId(deviceId))
    return reject('bad_topic', 'not a topic of one device');
  if (payload.byteLength > readingBytesMax) {
    return reject('too_large', `${payload.byteLength} bytes, at most ${readingBytesMax} allowed`);
  }
  let text: string;
  let value: unknown;
  try {
    text = utf8.decode(payload);
    value = JSON.parse(text);
  } catch (error) {
    return reject('not_json', printable(error instanceof Error ? error.message : String(error)));
  }
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    return reject('not_an_object', 'a reading is a JSON object');
  }
  const body = value as Record<string, unknown>;
  if (mayRepeatNames(text, body)) {
    const repeated = repeatedMember(text, fields);
    if (repeated !== undefined) return reject('repeated_field', `${repeated} is named twice`);
  }
  const parsed = checkFields(body, deviceId, times);
  if (!('reading' in parsed)) return parsed;
  const unknownFields = unknownIn(body);
  return unknownFields === undefined ? parsed : { ...parsed, unknownFields };
}

/** The fields of a reading. Others are left out, so it does not matter what they contain. */
const fields: ReadonlySet<string> = new Set(
  'deviceId incarnation seq measuredAt celsius setpointCelsius humidityPercent heating'.split(' '),
);

/** Maximum number of unknown fields that are named, and of characters of a name. */
const unknownFieldsMax = 4;
const fieldNameCharsMax = 64;

/** The names that no field of a reading has; undefined if there are none. */
function unknownIn(body: Record<string, unknown>): string[] | undefined {
  let unknown: string[] | undefined;
  for (const name in body) {
    if (fields.has(name) || (unknown?.length ?? 0) >= unknownFieldsMax) continue;
    unknown ??= [];
    unknown.push(printable(name).slice(0, fieldNameCharsMax));
  }
  return unknown;
}

/** The code of `"`. */
const quote = 0x22;

/**
 * False if no name can occur twice: the text has no more quotes than the names and the strings of
 * the object need. This is cheap enough for each reading; most pass here.
 */
function mayRepeatNames(text: string, body: Record<string, unknown>): boolean {
  let quotes = 0;
  for (let at = 0; at < text.length; at++) if (text.charCodeAt(at) === quote) quotes++;
  for (const name in body) quotes -= typeof body[name] === 'string' ? 4 : 2;
  return quotes !== 0;
}

const utf8 = new TextDecoder('utf-8', { fatal: true });

function checkFields(body: Record<string, unknown>, deviceId: string, times: TimeLimits): ParsedReading {
  const named = body['seq'];
  if (named !== undefined && !isUint(named)) {
    return reject('bad_seq', `seq must be an integer from 0 to ${Number.MAX_SAFE_INTEGER}`);
  }
  const seq = named ?? null;
  if (body['deviceId'] !== deviceId) {
    return reject('device_mismatch', `deviceId must be "${deviceId}", the device that published it`, seq);
  }
  const { incarnation = 0 } = body;
  if (!isUint(incarnation)) {
    const detail = `incarnation must be an integer from 0 to ${Number.MAX_SAFE_INTEGER}`;
    return reject('bad_incarnation', detail, seq);
  }
  const { celsius, setpointCelsius = null, humidityPercent = null, heating = null } = body;
  if (!isNumberWithin(celsius, celsiusMin, celsiusMax)) {
    return reject('bad_celsius', `celsius must be a number from ${celsiusMin} to ${celsiusMax}`, seq);
  }
  if (setpointCelsius !== null && !isNumberWithin(setpointCelsius, celsiusMin, celsiusMax)) {
    return reject(
      'bad_setpoint_celsius',
      `setpointCelsius must be a number from ${celsiusMin} to ${celsiusMax}`,
      seq,
    );
  }
  if (humidityPercent !== null && !isNumberWithin(humidityPercent, 0, 100)) {
    return reject('bad_humidity_percent', 'humidityPercent must be a number from 0 to 100', seq);
  }
  if (heating !== null && typeof heating !== 'boolean') {
    return reject('bad_heating', 'heating must be true or false', seq);
  }
  const measuredAt = parseTime(body['measuredAt'], times);
  if ('problem' in measuredAt) return reject('bad_measured_at', `measuredAt ${measuredAt.problem}`, seq);
  const measuredAtMs = measuredAt.ms;
  const measured = { celsius, setpointCelsius, humidityPercent, heating };
  return { reading: { deviceId, incarnation, seq: seq ?? measuredAtMs, measuredAtMs, ...measured } };
}

function isUint(value: unknown): value is number {
  return typeof value === 'number' && Number.isSafeInteger(value) && value >= 0;
}

function isNumberWithin(value: unknown, min: number, max: number): value is number {
  return typeof value === 'number' && value >= min && value <= max;
}

function reject(reason: RejectionReason, detail: string, seq: number | null = null): ParsedReading {
  return { rejection: { reason, detail, seq } };
}

/**
 * Error texts may quote the payload: limits their length and removes control characters, which SQL
 * text refuses.
 */
function printable(text: string): string {
  return text.replace(/[\u0000-\u001f\u007f-\u009f\ud800-\udfff]/g, '?').slice(0, 200);
}
