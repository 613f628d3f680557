import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { parseReading, readingBytesMax } from '@thermomesh/contracts';
import fc from 'fast-check';
import { createPacketReader, createPublishEncoder } from './packets.ts';
import { payloadOf, readingOf } from './payload.ts';
import { makePoison, poisonKinds } from './poison.ts';

/** Decodes a PUBLISH as MQTT 3.1.1, 3.3 defines it, independently of the encoder. */
function decodePublish(bytes: Buffer): {
  flags: number;
  topic: string;
  packetId: number | undefined;
  payload: string;
  end: number;
} {
  let at = 1;
  let length = 0;
  for (let shift = 1; ; shift *= 128) {
    const digit = bytes[at++] ?? 0;
    length += (digit & 0x7f) * shift;
    if (digit < 0x80) break;
  }
  const end = at + length;
  const topicBytes = bytes.readUInt16BE(at);
  const topic = bytes.toString('latin1', at + 2, at + 2 + topicBytes);
  at += 2 + topicBytes;
  const flags = bytes[0] ?? 0;
  const qos = (flags >> 1) & 3;
  return {
    flags,
    topic,
    packetId: qos > 0 ? bytes.readUInt16BE(at) : undefined,
    payload: bytes.toString('latin1', at + 2 * qos, end),
    end,
  };
}

describe('PUBLISH by hand', () => {
  it('PUBLISH carries topic, id, flags and payload at every size', () => {
    const size = fc.oneof(fc.nat(300), fc.constantFrom(100, 127, 128, 16_383, 16_384, 20_000));
    fc.assert(
      fc.property(
        size,
        fc.integer({ min: 1, max: 65_535 }),
        fc.boolean(),
        fc.constantFrom(0 as const, 1 as const),
        (bytes, id, dup, qos) => {
          const payload = Array.from({ length: bytes }, (_, index) =>
            String.fromCharCode((index * 7) & 0xff),
          ).join('');
          const encoder = createPublishEncoder('thermostat/data/d-1', qos);
          const target = Buffer.alloc(encoder.bytes(payload) + 3);
          const end = encoder.write(target, 3, payload, qos === 1 ? id : undefined, dup);
          assert.equal(end, target.length);
          const packet = decodePublish(target.subarray(3));
          assert.deepEqual(
            [packet.flags, packet.topic, packet.packetId, packet.end],
            [
              0x30 | (qos << 1) | (dup ? 8 : 0),
              'thermostat/data/d-1',
              qos === 1 ? id : undefined,
              target.length - 3,
            ],
          );
          assert.equal(packet.payload, payload);
        },
      ),
    );
  });
});

describe('reading packets', () => {
  it('CONNACK and PUBACK are found wherever the bytes are cut', () => {
    const bytes = Buffer.from([0x20, 2, 0, 0, 0x40, 2, 0x12, 0x34, 0xd0, 0, 0x40, 2, 0, 1]);
    for (let size = 1; size <= bytes.length; size++) {
      const seen: string[] = [];
      const read = createPacketReader({
        onConnack: (code) => seen.push(`connack ${code}`),
        onPuback: (id) => seen.push(`puback ${id}`),
        onInvalid: (reason) => assert.fail(reason),
      });
      for (let at = 0; at < bytes.length; at += size) read(bytes.subarray(at, at + size));
      assert.deepEqual(seen, ['connack 0', `puback ${0x1234}`, 'puback 1']);
    }
  });
});

describe('packets that a publisher does not expect', () => {
  it('an unexpected packet is reported and acknowledges nothing', () => {
    for (const bytes of [
      Buffer.from('HTTP/1.1 400 Bad Request'),
      Buffer.from([0x30, 0xff, 0x01]),
      Buffer.from([0x40, 3, 0, 1, 0]),
    ]) {
      const issues: string[] = [];
      const unexpected = () => assert.fail();
      createPacketReader({
        onConnack: unexpected,
        onPuback: unexpected,
        onInvalid: (reason) => issues.push(reason),
      })(bytes);
      assert.equal(issues.length, 1);
    }
  });
});

describe('payloads', () => {
  it('valid readings are accepted with the values in the ledger', () => {
    fc.assert(
      fc.property(fc.nat(), fc.nat(10_000), fc.nat(1_000_000), (seed, device, number) => {
        const values = readingOf(seed, device, number, 1_767_225_600_000 + number);
        const parsed = parseReading(Buffer.from(payloadOf('load-r-1', number, values), 'latin1'), 'load-r-1');
        assert.ok('reading' in parsed);
        const orNull = (text: string) => (text === '' ? null : Number(text));
        assert.deepEqual(parsed.reading, {
          deviceId: 'load-r-1',
          incarnation: 0,
          seq: number,
          measuredAtMs: 1_767_225_600_000 + number,
          celsius: Number(values.celsius),
          setpointCelsius: orNull(values.setpointCelsius),
          humidityPercent: orNull(values.humidityPercent),
          heating: values.heating === '' ? null : values.heating === '1',
        });
      }),
    );
  });

  it('each kind of poison is rejected for its reason, and no two are equal', () => {
    const seen = new Set<string>();
    const reasons = new Set<string>();
    for (let kind = 0; kind < poisonKinds; kind++) {
      for (const [number, storedSeq] of [[5, undefined] as const, [6, 2] as const, [7, 2] as const]) {
        const { payload, reason } = makePoison(kind, {
          deviceId: 'd-1',
          number,
          measuredAtMs: 1_767_225_600_000,
          storedSeq,
        });
        assert.ok(!seen.has(payload));
        seen.add(payload);
        reasons.add(reason);
        const parsed = parseReading(Buffer.from(payload, 'latin1'), 'd-1');
        if (reason === 'seq_conflict') {
          // The message is well formed; only the stored row reveals the conflict.
          assert.ok('reading' in parsed);
          assert.equal(parsed.reading.seq, storedSeq);
        } else {
          assert.ok('rejection' in parsed);
          assert.equal(parsed.rejection.reason, reason);
        }
        assert.equal(payload.length > readingBytesMax, reason === 'too_large');
      }
    }
    assert.deepEqual([...reasons].sort(), [
      'bad_celsius',
      'bad_measured_at',
      'device_mismatch',
      'not_json',
      'seq_conflict',
      'too_large',
    ]);
  });
});
