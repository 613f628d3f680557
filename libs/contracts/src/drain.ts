/**
 * `thermomesh.drain.v1`: the messages of the drain session. A fixed header precedes the original
 * bytes:
 *
 * | bytes | field |
 * | ----: | --- |
 * | 0     | version, 1 |
 * | 1–16  | log: the UUID of the gateway's store; log ids are unique within it |
 * | 17–24 | log id, unsigned big-endian, grows by at least one per message |
 * | 25–32 | log id of the previous message of the drain session, 0 if none: shows gaps |
 * | 33–40 | receivedAt, Unix ms of the gateway's clock, unsigned big-endian |
 * | 41–   | the payload as the device sent it |
 */

export const drainVersion = 1;
export const drainHeaderBytes = 41;

/** The header's fields; the numbers are below 2^53. */
export interface DrainHeader {
  /** 16 bytes. */
  log: Uint8Array;
  logId: number;
  previousLogId: number;
  receivedAtMs: number;
}

/** Writes the header at `offset` of `target`; returns the offset behind it. */
export function writeDrainHeader(target: Buffer, offset: number, header: DrainHeader): number {
  target[offset] = drainVersion;
  target.set(header.log, offset + 1);
  writeUint53(target, offset + 17, header.logId);
  writeUint53(target, offset + 25, header.previousLogId);
  writeUint53(target, offset + 33, header.receivedAtMs);
  return offset + drainHeaderBytes;
}

/** A decoded message; `log` and `payload` are views into the buffer that was read. */
export interface DrainMessage extends DrainHeader {
  payload: Buffer;
}

/**
 * Reads a `thermomesh.drain.v1` message.
 * @throws RangeError if it is too short or of another version: the gateway and the node are
 *   incompatible
 */
export function readDrainMessage(bytes: Buffer): DrainMessage {
  if (bytes.length < drainHeaderBytes)
    throw new RangeError(`drain message of ${bytes.length} bytes is too short`);
  if (bytes[0] !== drainVersion)
    throw new RangeError(`drain message of version ${bytes[0]}, only ${drainVersion} is known`);
  return {
    log: bytes.subarray(1, 17),
    logId: readUint53(bytes, 17),
    previousLogId: readUint53(bytes, 25),
    receivedAtMs: readUint53(bytes, 33),
    payload: bytes.subarray(drainHeaderBytes),
  };
}

/** The textual form of the 16 bytes of a UUID. */
export function uuidText(bytes: Uint8Array): string {
  const hex = Buffer.from(bytes).toString('hex');
  return `${hex.slice(0, 8)}-${hex.slice(8, 12)}-${hex.slice(12, 16)}-${hex.slice(16, 20)}-${hex.slice(20)}`;
}

function writeUint53(target: Buffer, offset: number, value: number): void {
  target.writeUInt32BE(Math.floor(value / 2 ** 32), offset);
  target.writeUInt32BE(value % 2 ** 32, offset + 4);
}

function readUint53(source: Buffer, offset: number): number {
  return source.readUInt32BE(offset) * 2 ** 32 + source.readUInt32BE(offset + 4);
}
