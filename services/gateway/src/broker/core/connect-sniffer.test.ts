import assert from 'node:assert/strict';
import { it } from 'node:test';
import fc from 'fast-check';
import { sniffConnect, type Sniffed } from './connect-sniffer.ts';

function connect(clientId: string, filler = 0, { name = 'MQTT', level = 4, flags = 2 } = {}): Buffer {
  const id = Buffer.from(clientId);
  const body = Buffer.concat([
    Buffer.from([0, name.length]),
    Buffer.from(name),
    Buffer.from([level, flags, 0, 60, id.length >>> 8, id.length & 0xff]),
    id,
    Buffer.alloc(filler),
  ]);
  return Buffer.concat([Buffer.from([0x10, (body.length & 0x7f) | 0x80, body.length >>> 7]), body]);
}

it('the client id is found as soon as its bytes are there, at any cut of a CONNECT', () => {
  fc.assert(
    fc.property(fc.string({ maxLength: 60 }), fc.integer({ min: 100, max: 400 }), (clientId, filler) => {
      const bytes = connect(clientId, filler);
      const needed = bytes.length - filler;
      for (let cut = 0; cut <= bytes.length; cut++) {
        const found = sniffConnect(bytes.subarray(0, cut), 1000);
        if (cut < needed) assert.deepEqual(found, { kind: 'incomplete' });
        else assert.deepEqual(found, { kind: 'connect', clientId, packetBytes: bytes.length });
      }
    }),
  );
});

it('the sniffer never throws, and decides once a packet is complete', () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 100 }), (bytes) => {
      sniffConnect(Buffer.from(bytes), 1000);
      const whole = Buffer.concat([Buffer.from([0x10, bytes.length]), bytes]);
      assert.notEqual(sniffConnect(whole, 1000).kind, 'incomplete');
    }),
  );
});

it('bytes that cannot begin a CONNECT are refused before the rest is read', () => {
  for (const bytes of [
    [0x20],
    [0x11],
    [0x47, 0x45],
    [0x10, 0xff, 0xff, 0xff, 0xff],
    [0x10, 0xff, 0xff, 0x7f],
  ]) {
    assert.equal(sniffConnect(Buffer.from(bytes), 1000).kind, 'garbage');
  }
});

it('only the levels of MQTT 3.1 and 3.1.1 are accepted; others are refused with 1', () => {
  const found = (name: string, level: number) => sniffConnect(connect('d1', 0, { name, level }), 1000);
  const codeOf = (sniffed: Sniffed) => (sniffed.kind === 'refused' ? sniffed.returnCode : sniffed.kind);
  for (let level = 0; level < 256; level++) {
    const version = level % 128;
    assert.equal(codeOf(found('MQTT', level)), version === 4 ? 'connect' : 1, `MQTT ${level}`);
    assert.equal(codeOf(found('MQIsdp', level)), version === 3 ? 'connect' : 1, `MQIsdp ${level}`);
    assert.equal(codeOf(found('HTTP', level)), 'garbage');
  }
});

it('an unknown level is refused before the fields after it are read', () => {
  const bytes = connect('d1', 0, { level: 5 });
  assert.equal(sniffConnect(bytes.subarray(0, 10), 1000).kind, 'refused');
  assert.equal(sniffConnect(bytes.subarray(0, 9), 1000).kind, 'incomplete');
  const cut = Buffer.concat([Buffer.from([0x10, 6]), bytes.subarray(3, 9), Buffer.from([5, 2, 0, 0])]);
  assert.equal(sniffConnect(cut, 1000).kind, 'garbage');
});

it('an empty client id is refused with 2 unless the session is clean', () => {
  const found = (flags: number) => sniffConnect(connect('', 0, { flags }), 1000);
  const reason = 'a persistent session without a client id';
  assert.deepEqual(found(0), { kind: 'refused', returnCode: 2, reason });
  assert.equal(found(2).kind, 'connect');
});
