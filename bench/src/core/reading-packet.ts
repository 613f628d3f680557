/**
 * PUBLISH packets of one device. They are made cheaply, by writing digits into a template, because
 * the generator shares the cores with the programs that it measures.
 */
import { dataTopic } from '@thermomesh/contracts';

/**
 * The first sequence number. It has all the digits of the template, because a JSON number has no
 * leading zeros.
 */
export const seqMin = 1_000_000_000;
const seqDigits = 10;
const timeDigits = 13;
const packetIdsMax = 0xffff;

export interface ReadingPackets {
  /** Size of one packet. */
  readonly bytes: number;
  /** Size of its payload. */
  readonly payloadBytes: number;
  /** Writes reading `number` (from 0) at `offset`. */
  write(target: Buffer, offset: number, number: number, measuredAtMs: number): void;
}

/** The packet id of reading `number`: 1 to 65,535 in turn [MQTT-2.3.1-1]. */
export function packetIdOf(number: number): number {
  return (number % packetIdsMax) + 1;
}

/** @throws RangeError if the id makes packets too short or too long for the template */
export function createReadingPackets(deviceId: string): ReadingPackets {
  const topic = Buffer.from(dataTopic(deviceId));
  const before = `{"deviceId":"${deviceId}","seq":`;
  const between = ',"measuredAt":';
  const payload = `${before}${seqMin}${between}${'0'.repeat(timeDigits)},"celsius":21.50,"heating":true}`;
  const remaining = 2 + topic.length + 2 + payload.length;
  if (remaining < 128 || remaining >= 16_384)
    throw new RangeError('the template needs a remaining length of two bytes');
  const template = Buffer.alloc(3 + remaining);
  // QoS 1, no DUP, no retain; remaining length in two bytes, seven bits each [MQTT 3.1.1, 2.2.3].
  template.set([0x32, (remaining % 128) | 0x80, remaining >>> 7]);
  template.writeUInt16BE(topic.length, 3);
  template.set(topic, 5);
  const idAt = 5 + topic.length;
  template.write(payload, idAt + 2, 'latin1');
  const seqAt = idAt + 2 + before.length;
  const timeAt = seqAt + seqDigits + between.length;
  const celsiusAt = timeAt + timeDigits + ',"celsius":21.'.length;
  return {
    bytes: template.length,
    payloadBytes: payload.length,
    write(target, offset, number, measuredAtMs) {
      template.copy(target, offset);
      target.writeUInt16BE(packetIdOf(number), offset + idAt);
      digits(target, offset + seqAt, seqMin + number, seqDigits);
      digits(target, offset + timeAt, measuredAtMs, timeDigits);
      // 21.00 to 21.99 °C: values differ, their length does not.
      digits(target, offset + celsiusAt, number % 100, 2);
    },
  };
}

function digits(target: Buffer, offset: number, value: number, count: number): void {
  let rest = value;
  for (let at = offset + count - 1; at >= offset; at--) {
    const next = Math.floor(rest / 10);
    target[at] = 48 + rest - next * 10;
    rest = next;
  }
}
