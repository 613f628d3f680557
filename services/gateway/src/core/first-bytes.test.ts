import assert from 'node:assert/strict';
import { it } from 'node:test';
import fc from 'fast-check';
import { readFirstBytes } from './first-bytes.ts';

function connect(clientId: string, filler = 0): Buffer {
  const id = Buffer.from(clientId);
  const body = Buffer.concat([
    Buffer.from([0, 4]),
    Buffer.from('MQTT'),
    Buffer.from([4, 2, 0, 60, id.length >>> 8, id.length & 0xff]),
    id,
    Buffer.alloc(filler),
  ]);
  return Buffer.concat([Buffer.from([0x10, (body.length & 0x7f) | 0x80, body.length >>> 7]), body]);
}

it('finds the client id as soon as its bytes are there, wherever the CONNECT is cut', () => {
  fc.assert(
    fc.property(fc.string({ maxLength: 60 }), fc.integer({ min: 100, max: 400 }), (clientId, filler) => {
      const bytes = connect(clientId, filler);
      const needed = bytes.length - filler;
      for (let cut = 0; cut <= bytes.length; cut++) {
        const found = readFirstBytes(bytes.subarray(0, cut), 1000);
        if (cut < needed) assert.deepEqual(found, { kind: 'incomplete' });
        else assert.deepEqual(found, { kind: 'connect', clientId, packetBytes: bytes.length });
      }
    }),
  );
});

it('never throws, and decides once a packet is complete', () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 100 }), (bytes) => {
      readFirstBytes(Buffer.from(bytes), 1000);
      const whole = Buffer.concat([Buffer.from([0x10, bytes.length]), bytes]);
      assert.notEqual(readFirstBytes(whole, 1000).kind, 'incomplete');
    }),
  );
});

it('refuses what cannot be a CONNECT before it is read', () => {
  for (const bytes of [
    [0x20],
    [0x11],
    [0x47, 0x45],
    [0x10, 0xff, 0xff, 0xff, 0xff],
    [0x10, 0xff, 0xff, 0x7f],
  ]) {
    assert.equal(readFirstBytes(Buffer.from(bytes), 1000).kind, 'garbage');
  }
});
