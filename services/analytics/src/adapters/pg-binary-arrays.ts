/**
 * Arrays in the binary format of PostgreSQL (`array_recv` in its source). The driver passes a
 * Buffer on unchanged, so neither side formats or parses numbers, which would cost more than the
 * insert.
 */

/** Object ids of element types (pg_type). */
const oids = { bool: 16, int8: 20, text: 25, float4: 700, timestamptz: 1184 } as const;
const headBytes = 20;
/** The length that marks an element as NULL. */
const nullLength = -1;
/** 2000-01-01T00:00:00Z, the zero of timestamptz, in Unix ms. */
const zeroMs = 946_684_800_000;
const twoTo32 = 2 ** 32;

/** Encodes a bigint array. Values are integers from 0 to 2^53 − 1; null becomes NULL. */
export function int8Array(values: readonly (number | null)[]): Buffer {
  return fixedArray(oids.int8, 8, values, (target, offset, value) => {
    target.writeUInt32BE(Math.floor(value / twoTo32), offset);
    target.writeUInt32BE(value % twoTo32, offset + 4);
  });
}

/**
 * Encodes a timestamptz array from whole Unix ms of any year. The value in µs exceeds what a double
 * holds exactly, so it is computed in two halves.
 */
export function timestamptzArray(valuesMs: readonly number[]): Buffer {
  return fixedArray(oids.timestamptz, 8, valuesMs, (target, offset, ms) => {
    const sinceZeroMs = ms - zeroMs;
    const high = Math.floor(sinceZeroMs / twoTo32);
    const low = (sinceZeroMs - high * twoTo32) * 1000;
    const carry = Math.floor(low / twoTo32);
    target.writeInt32BE(high * 1000 + carry, offset);
    target.writeUInt32BE(low - carry * twoTo32, offset + 4);
  });
}

/** Encodes a real array. Values are rounded to single precision; null becomes NULL. */
export function float4Array(values: readonly (number | null)[]): Buffer {
  // Adding zero turns −0 into 0.
  return fixedArray(oids.float4, 4, values, (target, offset, value) =>
    target.writeFloatBE(value + 0, offset),
  );
}

/** Encodes a boolean array; null becomes NULL. */
export function boolArray(values: readonly (boolean | null)[]): Buffer {
  return fixedArray(oids.bool, 1, values, (target, offset, value) => (target[offset] = value ? 1 : 0));
}

/** Encodes a text array. @param values ASCII only, because their lengths are taken as bytes */
export function asciiArray(values: readonly string[]): Buffer {
  let bytes = headBytes;
  for (const value of values) bytes += 4 + value.length;
  const target = Buffer.allocUnsafe(bytes);
  let offset = writeHead(target, oids.text, values.length, false);
  for (const value of values) {
    offset = target.writeInt32BE(value.length, offset);
    offset += target.write(value, offset, 'latin1');
  }
  return target;
}

function fixedArray<T>(
  oid: number,
  size: number,
  values: readonly (T | null)[],
  write: (target: Buffer, offset: number, value: T) => void,
): Buffer {
  const target = Buffer.allocUnsafe(headBytes + values.length * (4 + size));
  const hasNull = values.includes(null);
  let offset = writeHead(target, oid, values.length, hasNull);
  for (const value of values) {
    offset = target.writeInt32BE(value === null ? nullLength : size, offset);
    if (value === null) continue;
    write(target, offset, value);
    offset += size;
  }
  return hasNull ? target.subarray(0, offset) : target;
}

/**
 * Writes the head of an array: dimensions, whether there are NULLs, element type, length, lower
 * bound. Returns the offset behind it.
 */
function writeHead(target: Buffer, oid: number, length: number, hasNull: boolean): number {
  target.writeInt32BE(1, 0);
  target.writeInt32BE(hasNull ? 1 : 0, 4);
  target.writeInt32BE(oid, 8);
  target.writeInt32BE(length, 12);
  return target.writeInt32BE(1, 16);
}
