/** Reads and writes the few bytes of MQTT 3.1.1 that the hot path handles without a parser. */

/** First byte of a PUBLISH at QoS 1 without DUP and RETAIN. */
const publishHeader = 0x32;
/** The DUP flag in the first byte of a PUBLISH [MQTT-3.3.1-1]. */
export const dupFlag = 0x08;

/**
 * Number of packet ids, which run from 1 to 65,535 [MQTT-2.3.1-1]. That many consecutive log ids
 * have different packet ids.
 */
export const packetIdsMax = 65_535;

/** The packet id under which a message of the log is sent to the drain session. */
export function packetIdOf(logId: number): number {
  return (logId % packetIdsMax) + 1;
}

/** Number of bytes of an encoded remaining length [MQTT 3.1.1, 2.2.3]. */
export function lengthBytes(length: number): number {
  return length < 128 ? 1 : length < 16_384 ? 2 : length < 2_097_152 ? 3 : 4;
}

/** Size in bytes of a QoS 1 PUBLISH. */
export function publishBytes(topicBytes: number, payloadBytes: number): number {
  const remaining = 2 + topicBytes + 2 + payloadBytes;
  return 1 + lengthBytes(remaining) + remaining;
}

/** Writes everything of a QoS 1 PUBLISH before its payload; returns the payload's offset. */
export function writePublishHead(
  target: Buffer,
  offset: number,
  topic: string,
  topicBytes: number,
  packetId: number,
  payloadBytes: number,
): number {
  let at = offset;
  target[at++] = publishHeader;
  let rest = 2 + topicBytes + 2 + payloadBytes;
  do {
    const digit = rest % 128;
    rest = Math.floor(rest / 128);
    target[at++] = rest > 0 ? digit | 0x80 : digit;
  } while (rest > 0);
  target[at++] = topicBytes >>> 8;
  target[at++] = topicBytes & 0xff;
  at += target.write(topic, at, topicBytes, 'utf8');
  target[at++] = packetId >>> 8;
  target[at++] = packetId & 0xff;
  return at;
}

/**
 * Reads the remaining length at `offset`: its value and the offset after it; undefined if bytes are
 * missing, null if it is malformed.
 */
export function readLength(
  bytes: Buffer,
  offset: number,
): { value: number; next: number } | undefined | null {
  let value = 0;
  for (let digits = 0; digits < 4; digits++) {
    const digit = bytes[offset + digits];
    if (digit === undefined) return undefined;
    value += (digit & 0x7f) * 128 ** digits;
    if ((digit & 0x80) === 0) return { value, next: offset + digits + 1 };
  }
  return null;
}

/** Reads topic and payload of one complete PUBLISH with a packet id; the payload is a view. */
export function readPublish(packet: Buffer): { topic: string; payload: Buffer } {
  const length = readLength(packet, 1);
  if (length === undefined || length === null) throw new RangeError('a stored packet is malformed');
  const topicBytes = packet.readUInt16BE(length.next);
  const topicEnd = length.next + 2 + topicBytes;
  return {
    topic: packet.toString('utf8', length.next + 2, topicEnd),
    payload: packet.subarray(topicEnd + 2),
  };
}
