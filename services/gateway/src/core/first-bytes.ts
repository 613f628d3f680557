/** Looks at the first bytes of a connection: whose is it? Pure, and safe with any bytes. */
import { readLength } from './mqtt-bytes.ts';

/** Largest CONNECT in bytes: a will of the largest publish must fit, so this is added to it. */
export const connectOverheadBytesMax = 4096;

export type FirstBytes =
  /** More bytes are needed to tell. */
  | { kind: 'incomplete' }
  /** No MQTT CONNECT can begin like this. */
  | { kind: 'garbage'; reason: string }
  | { kind: 'connect'; clientId: string; packetBytes: number };

/** @param connectBytesMax a CONNECT that says it is larger is refused before it is read */
export function readFirstBytes(bytes: Buffer, connectBytesMax: number): FirstBytes {
  if (bytes.length === 0) return { kind: 'incomplete' };
  // The first packet must be a CONNECT [MQTT-3.1.0-1]; its header flags are zero [MQTT-2.2.2-2].
  if (bytes[0] !== 0x10) return { kind: 'garbage', reason: 'the first packet is no CONNECT' };
  const length = readLength(bytes, 1);
  if (length === undefined) return { kind: 'incomplete' };
  if (length === null) return { kind: 'garbage', reason: 'the remaining length is malformed' };
  const packetBytes = length.next + length.value;
  if (packetBytes > connectBytesMax) return { kind: 'garbage', reason: `a CONNECT of ${packetBytes} bytes` };
  // Protocol name, level, flags and keep-alive stand before the client id.
  const name = readField(bytes, length.next, packetBytes);
  if (name === undefined) return incompleteOr(bytes, packetBytes);
  const clientId = readField(bytes, name.next + 4, packetBytes);
  if (clientId === undefined) return incompleteOr(bytes, packetBytes);
  return { kind: 'connect', clientId: bytes.toString('utf8', clientId.start, clientId.next), packetBytes };
}

/** A string with its length before it, if all of its bytes are there and inside the packet. */
function readField(bytes: Buffer, offset: number, end: number): { start: number; next: number } | undefined {
  if (offset + 2 > bytes.length) return undefined;
  const next = offset + 2 + bytes.readUInt16BE(offset);
  return next > bytes.length || next > end ? undefined : { start: offset + 2, next };
}

function incompleteOr(bytes: Buffer, packetBytes: number): FirstBytes {
  return bytes.length < packetBytes
    ? { kind: 'incomplete' }
    : { kind: 'garbage', reason: 'the CONNECT is malformed' };
}
