/**
 * Finds MQTT packets in a stream of bytes that may be cut anywhere. PUBLISH is read by hand,
 * because a general parser costs a multiple.
 */

/** Receives the packets of a stream. */
export interface FrameHandlers {
  /**
   * A PUBLISH arrived. `packetId` is undefined at QoS 0; `payload` is a view into the received
   * bytes.
   */
  publish(topic: string, packetId: number | undefined, payload: Buffer): void;
  /** Another packet arrived; `packet` is complete. */
  other(packet: Buffer): void;
  /** The stream is not MQTT. The reader ignores all bytes after that. */
  invalid(reason: string): void;
}

const publishType = 3;
/** Maximum size of the field "remaining length", seven bits a byte [MQTT 3.1.1, 2.2.3]. */
const lengthBytesMax = 4;

/** Returns a function that takes the next chunk of the stream. */
export function createFrameReader(handlers: FrameHandlers): (chunk: Buffer) => void {
  let rest: Buffer | undefined;
  let broken = false;
  return (chunk) => {
    if (broken) return;
    const bytes = rest === undefined ? chunk : Buffer.concat([rest, chunk]);
    let at = 0;
    while (!broken) {
      const body = bodyOf(bytes, at);
      if (body === undefined) break;
      if (body === 'malformed' || !take(bytes, at, body.start, body.end)) {
        broken = true;
        handlers.invalid('a malformed packet');
        break;
      }
      at = body.end;
    }
    rest = at === bytes.length ? undefined : bytes.subarray(at);
  };

  /** Hands one packet to the handlers; false if it is malformed. */
  function take(bytes: Buffer, first: number, start: number, end: number): boolean {
    const head = bytes[first]!;
    if (head >>> 4 !== publishType) {
      handlers.other(bytes.subarray(first, end));
      return true;
    }
    const qos = (head >>> 1) & 3;
    const idAt = start + 2 + (start + 2 <= end ? bytes.readUInt16BE(start) : 0);
    const payloadAt = idAt + (qos > 0 ? 2 : 0);
    if (payloadAt > end) return false;
    const packetId = qos > 0 ? bytes.readUInt16BE(idAt) : undefined;
    handlers.publish(bytes.toString('utf8', start + 2, idAt), packetId, bytes.subarray(payloadAt, end));
    return true;
  }
}

/** Returns where the body of the packet at `at` lies; undefined if it is not complete yet. */
function bodyOf(bytes: Buffer, at: number): { start: number; end: number } | 'malformed' | undefined {
  let length = 0;
  for (let index = 0; index < lengthBytesMax; index++) {
    const digit = bytes[at + 1 + index];
    if (digit === undefined) return undefined;
    length += (digit & 0x7f) * 128 ** index;
    if (digit < 0x80) {
      const start = at + 2 + index;
      return start + length <= bytes.length ? { start, end: start + length } : undefined;
    }
  }
  return 'malformed';
}
