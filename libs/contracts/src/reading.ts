/** `thermostat.reading.v1`: the one message of the fleet, and why one may be refused. */
import { isDeviceId } from './ids.ts';

/** A reading that passed every check. Temperatures in °C, times in Unix ms. */
export interface Reading {
  deviceId: string;
  /** Grows by one per device; kept by the device over restarts. */
  seq: number;
  measuredAtMs: number;
  celsius: number;
  setpointCelsius: number | null;
  humidityPercent: number | null;
  heating: boolean | null;
}

/** Why a message landed in `rejected_readings`. A closed list: dashboards and tests count by it. */
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
] as const;
export type RejectionReason = (typeof rejectionReasons)[number];

/** A message that cannot become a row of `readings`; `seq` is given where it could still be read. */
export interface Rejection {
  reason: RejectionReason;
  detail: string;
  seq: number | null;
}

/** Largest accepted payload of a reading, in bytes (design: "≤ 4 KiB"). */
export const readingBytesMax = 4096;

/** Physical limits: below absolute zero nothing exists; above, no room thermostat measures. */
export const celsiusMin = -273.15;
export const celsiusMax = 1000;

/** Device clocks may be off, but PostgreSQL and ISO 8601 both hold these years. */
export const measuredAtMinMs = Date.UTC(1970, 0, 1);
export const measuredAtMaxMs = Date.UTC(9999, 11, 31);

const isoPattern = /^\d{4}-\d{2}-\d{2}T\d{2}:\d{2}(:\d{2}(\.\d{1,9})?)?(Z|[+-]\d{2}:\d{2})$/;

/** The outcome of {@link parseReading}. */
export type ParsedReading = { reading: Reading } | { rejection: Rejection };

/**
 * Reads and checks one payload. Never throws; unknown fields are left out, not refused.
 * @param payload the bytes as the device sent them
 * @param deviceId the device that published them, from the topic that the gateway checked
 */
export function parseReading(payload: Uint8Array, deviceId: string | undefined): ParsedReading {
  if (deviceId === undefined || !isDeviceId(deviceId))
    return reject('bad_topic', 'not a topic of one device');
  if (payload.byteLength > readingBytesMax) {
    return reject('too_large', `${payload.byteLength} bytes, at most ${readingBytesMax} allowed`);
  }
  let value: unknown;
  try {
    value = JSON.parse(utf8.decode(payload));
  } catch (error) {
    return reject('not_json', printable(error instanceof Error ? error.message : String(error)));
  }
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    return reject('not_an_object', 'a reading is a JSON object');
  }
  return checkFields(value as Record<string, unknown>, deviceId);
}

const utf8 = new TextDecoder('utf-8', { fatal: true });

function checkFields(body: Record<string, unknown>, deviceId: string): ParsedReading {
  const seq = body['seq'];
  if (typeof seq !== 'number' || !Number.isSafeInteger(seq) || seq < 0) {
    return reject('bad_seq', `seq must be an integer from 0 to ${Number.MAX_SAFE_INTEGER}`);
  }
  if (body['deviceId'] !== deviceId) {
    return reject('device_mismatch', `deviceId must be "${deviceId}", the device that published it`, seq);
  }
  const measuredAtMs = toUnixMs(body['measuredAt']);
  if (measuredAtMs === undefined) {
    return reject('bad_measured_at', 'measuredAt must be ISO 8601 or Unix ms, from 1970 to 9999', seq);
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
  return { reading: { deviceId, seq, measuredAtMs, celsius, setpointCelsius, humidityPercent, heating } };
}

function toUnixMs(value: unknown): number | undefined {
  const ms =
    typeof value === 'number'
      ? value
      : typeof value === 'string' && isoPattern.test(value)
        ? Date.parse(value)
        : NaN;
  if (!Number.isFinite(ms) || ms < measuredAtMinMs || ms > measuredAtMaxMs) return undefined;
  return Math.trunc(ms);
}

function isNumberWithin(value: unknown, min: number, max: number): value is number {
  return typeof value === 'number' && value >= min && value <= max;
}

function reject(reason: RejectionReason, detail: string, seq: number | null = null): ParsedReading {
  return { rejection: { reason, detail, seq } };
}

/** Error texts may quote the payload: keep them short and free of control characters, which SQL text refuses. */
function printable(text: string): string {
  return text.replace(/[\u0000-\u001f\u007f-\u009f\ud800-\udfff]/g, '?').slice(0, 200);
}
