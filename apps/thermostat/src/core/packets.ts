/**
 * Encodes and decodes the few MQTT 3.1.1 packets that a publishing device needs. A general encoder
 * costs several times as much, and the load generator shares its core with others. Payloads are
 * latin1 text, one character per byte.
 */

const publishQos0 = 0x30;
const publishQos1 = 0x32;
const dupBit = 0x08;
/** The first two bytes of the packets that may arrive: type with flags, remaining length. */
const connackHead = 0x2002;
const pubackHead = 0x4002;
const pingrespHead = 0xd000;

/** A complete PINGREQ. */
export const pingreqPacket = Buffer.from([0xc0, 0]);
/** A complete DISCONNECT. */
export const disconnectPacket = Buffer.from([0xe0, 0]);

/** Writes PUBLISH packets for one topic. */
export interface PublishEncoder {
  /** Returns the size of a packet in bytes. */
  bytes(payload: string): number;
  /**
   * Writes a packet at `offset` and returns the offset behind it. Without a `packetId` it has QoS
   * 0.
   */
  write(target: Buffer, offset: number, payload: string, packetId: number | undefined, dup: boolean): number;
}

/** Creates an encoder. @param qos the QoS of every packet that it writes */
export function createPublishEncoder(topic: string, qos: 0 | 1): PublishEncoder {
  const head = Buffer.alloc(2 + topic.length);
  head.writeUInt16BE(topic.length, 0);
  head.write(topic, 2, 'latin1');
  const remaining = (payload: string) => head.length + 2 * qos + payload.length;
  return {
    bytes(payload) {
      const length = remaining(payload);
      return 1 + lengthBytes(length) + length;
    },
    write(target, offset, payload, packetId, dup) {
      let at = offset;
      target[at++] = (packetId === undefined ? publishQos0 : publishQos1) | (dup ? dupBit : 0);
      at = writeLength(target, at, remaining(payload));
      at += head.copy(target, at);
      if (packetId !== undefined) {
        target[at++] = packetId >>> 8;
        target[at++] = packetId & 0xff;
      }
      return at + target.write(payload, at, 'latin1');
    },
  };
}

function lengthBytes(length: number): number {
  return length < 128 ? 1 : length < 16_384 ? 2 : length < 2_097_152 ? 3 : 4;
}

/** Writes the remaining length, seven bits per byte [MQTT 3.1.1, 2.2.3]. */
function writeLength(target: Buffer, offset: number, length: number): number {
  let at = offset;
  let rest = length;
  do {
    const digit = rest % 128;
    rest = Math.floor(rest / 128);
    target[at++] = rest > 0 ? digit | 0x80 : digit;
  } while (rest > 0);
  return at;
}

/** Receives the packets of the broker. */
export interface PacketHandlers {
  onConnack(returnCode: number): void;
  onPuback(packetId: number): void;
  /** A packet arrived that a publisher does not expect. The connection must be closed. */
  onInvalid(reason: string): void;
}

/**
 * Creates a reader of the packets that a broker sends to a publisher: CONNACK, PUBACK and PINGRESP.
 * @returns a function that takes the next chunk; chunks may be cut anywhere
 */
export function createPacketReader(handlers: PacketHandlers): (chunk: Buffer) => void {
  let rest: Buffer | undefined;
  return (chunk) => {
    const bytes = rest === undefined ? chunk : Buffer.concat([rest, chunk]);
    let at = 0;
    while (at + 1 < bytes.length) {
      const head = bytes.readUInt16BE(at);
      if (head !== pubackHead && head !== connackHead && head !== pingrespHead) {
        handlers.onInvalid(`unexpected packet 0x${head.toString(16)}`);
        return;
      }
      const end = at + 2 + (head & 0xff);
      if (end > bytes.length) break;
      if (head === pubackHead) handlers.onPuback(bytes.readUInt16BE(at + 2));
      else if (head === connackHead) handlers.onConnack(bytes[at + 3] ?? 0);
      at = end;
    }
    rest = at === bytes.length ? undefined : bytes.subarray(at);
  };
}
