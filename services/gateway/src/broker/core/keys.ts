/** Keys of the store's tables. Numbers are big-endian, so that keys sort like their numbers. */

/** An unsigned integer below 2^53 as 8 bytes. */
export function numberKey(value: number): Buffer {
  const key = Buffer.allocUnsafe(8);
  writeNumber(key, 0, value);
  return key;
}

/** Reads the number of a {@link numberKey} at `offset`. */
export function readNumber(bytes: Buffer, offset = 0): number {
  return bytes.readUInt32BE(offset) * 2 ** 32 + bytes.readUInt32BE(offset + 4);
}

/** Writes an unsigned integer below 2^53 as 8 bytes. */
export function writeNumber(bytes: Buffer, offset: number, value: number): void {
  bytes.writeUInt32BE(Math.floor(value / 2 ** 32), offset);
  bytes.writeUInt32BE(value % 2 ** 32, offset + 4);
}

/** Prefix of a client's keys: its id and a NUL, which no MQTT string contains [MQTT-1.5.3-2]. */
export function clientPrefix(clientId: string): Buffer {
  return Buffer.from(`${clientId}\0`);
}

/** Key of a numbered record of a client. */
export function clientKey(clientId: string, value: number): Buffer {
  return Buffer.concat([clientPrefix(clientId), numberKey(value)]);
}

/** Key of a named record of a client; the name is a topic filter. */
export function clientNameKey(clientId: string, name: string): Buffer {
  return Buffer.from(`${clientId}\0${name}`);
}

/** Splits {@link clientKey}. */
export function splitClientKey(key: Buffer): { clientId: string; value: number } {
  const end = key.indexOf(0);
  return { clientId: key.toString('utf8', 0, end), value: readNumber(key, end + 1) };
}

/** Splits {@link clientNameKey}. */
export function splitClientNameKey(key: Buffer): { clientId: string; name: string } {
  const end = key.indexOf(0);
  return { clientId: key.toString('utf8', 0, end), name: key.toString('utf8', end + 1) };
}

/** The range of all keys that begin with `prefix`, up to the next prefix of the same length. */
export function prefixRange(prefix: Buffer): { start: Buffer; end: Buffer } {
  const end = Buffer.from(prefix);
  // A prefix ends in NUL or text, so its last byte is never 255 and the next prefix needs no carry.
  end[end.length - 1] = end[end.length - 1]! + 1;
  return { start: prefix, end };
}

/** A number as a value. */
export const numberValue = numberKey;
