import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { createFrameReader } from './mqtt-frames.ts';

function read(chunks: Buffer[]): { events: unknown[]; invalid: string | undefined } {
  const events: unknown[] = [];
  let invalid: string | undefined;
  const take = createFrameReader({
    publish: (topic, packetId, payload) =>
      events.push({ topic, packetId, payload: payload.toString('latin1') }),
    other: (packet) => events.push(packet.toString('hex')),
    invalid: (reason) => (invalid = reason),
  });
  chunks.forEach(take);
  return { events, invalid };
}

function publish(topic: string, packetId: number | undefined, payload: string): Buffer {
  const name = Buffer.from(topic);
  const id = packetId === undefined ? Buffer.alloc(0) : Buffer.from([packetId >>> 8, packetId & 0xff]);
  const body = Buffer.concat([
    Buffer.from([name.length >>> 8, name.length & 0xff]),
    name,
    id,
    Buffer.from(payload, 'latin1'),
  ]);
  const length: number[] = [];
  for (let left = body.length; length.length === 0 || left > 0; left = Math.floor(left / 128))
    length.push((left % 128) | (left >= 128 ? 0x80 : 0));
  return Buffer.concat([Buffer.from([packetId === undefined ? 0x30 : 0x3a, ...length]), body]);
}

describe('MQTT frames', () => {
  it('frames are the same wherever the stream is cut', () => {
    const message = fc.record({
      topic: fc.string({ minLength: 1, maxLength: 20 }),
      packetId: fc.option(fc.integer({ min: 1, max: 65_535 }), { nil: undefined }),
      payload: fc.oneof(
        fc.constant(''),
        fc.constant('x'),
        fc.constant('y'.repeat(127)),
        fc.constant('z'.repeat(300)),
      ),
    });
    fc.assert(
      fc.property(
        fc.array(message),
        fc.array(fc.integer({ min: 1, max: 5000 }), { minLength: 1 }),
        (messages, sizes) => {
          const parts = messages.flatMap((one) => [
            publish(one.topic, one.packetId, one.payload),
            Buffer.from([0xd0, 0]),
          ]);
          const stream = Buffer.concat(parts);
          const chunks: Buffer[] = [];
          for (let at = 0, index = 0; at < stream.length; index++) {
            const size = sizes[index % sizes.length]!;
            chunks.push(stream.subarray(at, at + size));
            at += size;
          }
          assert.deepEqual(read(chunks), {
            events: messages.flatMap((one) => [{ ...one }, 'd000']),
            invalid: undefined,
          });
        },
      ),
    );
  });

  it('a topic or a length that exceeds its packet ends the reading', () => {
    for (const broken of ['3001ff', '3203000561', '320400026161', 'ffffffffff']) {
      const { events, invalid } = read([Buffer.from(broken, 'hex'), publish('t', 1, 'later')]);
      assert.deepEqual(events, [], broken);
      assert.equal(invalid, 'a malformed packet', broken);
    }
  });
});
