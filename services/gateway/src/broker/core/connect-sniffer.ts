/** Reads the client id from the first bytes of a connection. Safe with any bytes. */
import { readLength } from './mqtt-bytes.ts';

/**
 * Maximum size of a CONNECT without its will, in bytes. A will may be as large as the largest
 * publish, whose size comes on top.
 */
export const connectOverheadBytesMax = 4096;

/** The result of reading the first bytes. */
export type Sniffed =
  /** More bytes are needed. */
  | { kind: 'incomplete' }
  /** No MQTT CONNECT begins with these bytes. */
  | { kind: 'garbage'; reason: string }
  /** A CONNECT that must be answered with this CONNACK return code. */
  | { kind: 'refused'; returnCode: 1 | 2; reason: string }
  | { kind: 'connect'; clientId: string; packetBytes: number };

/** The level of each protocol name: MQTT 3.1.1 and, for old devices, MQTT 3.1. */
const protocolLevels = new Map([
  ['MQTT', 4],
  ['MQIsdp', 3],
]);
/** A bridge sets this bit of its level, as mosquitto does. */
const bridgeBit = 0x80;
const cleanSessionFlag = 0x02;

/** @param connectBytesMax a CONNECT with a larger announced length is refused before it is read */
export function sniffConnect(bytes: Buffer, connectBytesMax: number): Sniffed {
  if (bytes.length === 0) return { kind: 'incomplete' };
  // The first packet must be a CONNECT [MQTT-3.1.0-1]; its header flags are zero [MQTT-2.2.2-2].
  if (bytes[0] !== 0x10) return { kind: 'garbage', reason: 'the first packet is not a CONNECT' };
  const length = readLength(bytes, 1);
  if (length === undefined) return { kind: 'incomplete' };
  if (length === null) return { kind: 'garbage', reason: 'the remaining length is malformed' };
  const packetBytes = length.next + length.value;
  if (packetBytes > connectBytesMax) return { kind: 'garbage', reason: `a CONNECT of ${packetBytes} bytes` };
  // The client id comes after protocol name, level, flags and keep-alive.
  const name = readField(bytes, length.next, packetBytes);
  if (name === undefined) return incompleteOr(bytes, packetBytes);
  const expected = protocolLevels.get(bytes.toString('utf8', name.start, name.next));
  // Without an answer, because this may be another protocol [MQTT-3.1.2-1].
  if (expected === undefined) return { kind: 'garbage', reason: 'the protocol name is unknown' };
  if (name.next >= Math.min(bytes.length, packetBytes)) return incompleteOr(bytes, packetBytes);
  const level = bytes[name.next]! & ~bridgeBit;
  // The fields of another version can differ, so nothing after the level is read [MQTT-3.1.2-2].
  if (level !== expected) return { kind: 'refused', returnCode: 1, reason: `protocol level ${level}` };
  const clientId = readField(bytes, name.next + 4, packetBytes);
  if (clientId === undefined) return incompleteOr(bytes, packetBytes);
  const isClean = (bytes[name.next + 1]! & cleanSessionFlag) !== 0;
  if (clientId.next === clientId.start && !isClean) {
    // [MQTT-3.1.3-8]
    return { kind: 'refused', returnCode: 2, reason: 'a persistent session without a client id' };
  }
  return { kind: 'connect', clientId: bytes.toString('utf8', clientId.start, clientId.next), packetBytes };
}

/** A string with its length in front, if all its bytes are present and inside the packet. */
function readField(bytes: Buffer, offset: number, end: number): { start: number; next: number } | undefined {
  if (offset + 2 > bytes.length) return undefined;
  const next = offset + 2 + bytes.readUInt16BE(offset);
  return next > bytes.length || next > end ? undefined : { start: offset + 2, next };
}

function incompleteOr(bytes: Buffer, packetBytes: number): Sniffed {
  return bytes.length < packetBytes
    ? { kind: 'incomplete' }
    : { kind: 'garbage', reason: 'the CONNECT is malformed' };
}
