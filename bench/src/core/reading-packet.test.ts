import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { parseReading } from '@thermomesh/contracts';
import { createReadingPackets, packetIdOf, seqMin } from './reading-packet.ts';

describe('reading packets', () => {
  it('a packet of any number is a well-formed reading', () => {
    const packets = createReadingPackets('bench-b1-7');
    const target = Buffer.alloc(packets.bytes + 3);
    for (const number of [0, 1, 99, 65_535, 1_234_567]) {
      packets.write(target, 3, number, 1_700_000_000_123);
      const payload = target.subarray(3 + packets.bytes - packets.payloadBytes);
      const parsed = parseReading(payload, 'bench-b1-7');
      assert.ok('reading' in parsed, JSON.stringify(parsed));
      assert.equal(parsed.reading.seq, seqMin + number);
      assert.equal(parsed.reading.measuredAtMs, 1_700_000_000_123);
      assert.equal(Math.round(parsed.reading.celsius * 100), 2100 + (number % 100));
      const remaining = (target[4]! & 0x7f) + target[5]! * 128;
      assert.equal(remaining, packets.bytes - 3);
      assert.equal(target.readUInt16BE(3 + packets.bytes - packets.payloadBytes - 2), packetIdOf(number));
    }
  });

  it('packet ids wrap and are never zero', () => {
    assert.equal(packetIdOf(0), 1);
    assert.equal(packetIdOf(65_534), 65_535);
    assert.equal(packetIdOf(65_535), 1);
  });
});
