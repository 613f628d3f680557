import assert from 'node:assert/strict';
import { it } from 'node:test';
import fc from 'fast-check';
import { drainHeaderBytes, readDrainMessage, uuidText, writeDrainHeader } from './drain.ts';

it('a drain message reads back as it was written', () => {
  const uint53 = fc.integer({ min: 0, max: Number.MAX_SAFE_INTEGER });
  fc.assert(
    fc.property(
      fc.uint8Array({ minLength: 16, maxLength: 16 }),
      uint53,
      uint53,
      uint53,
      fc.uint8Array(),
      (log, logId, previousLogId, receivedAtMs, payload) => {
        const bytes = Buffer.alloc(drainHeaderBytes + payload.length);
        bytes.set(payload, writeDrainHeader(bytes, 0, { log, logId, previousLogId, receivedAtMs }));
        const message = readDrainMessage(bytes);
        assert.deepEqual(
          [message.logId, message.previousLogId, message.receivedAtMs],
          [logId, previousLogId, receivedAtMs],
        );
        assert.deepEqual([...message.log], [...log]);
        assert.deepEqual([...message.payload], [...payload]);
      },
    ),
  );
});

it('a drain message that is too short or of another version is refused', () => {
  assert.throws(() => readDrainMessage(Buffer.alloc(10)), /too short/);
  assert.throws(() => readDrainMessage(Buffer.alloc(drainHeaderBytes, 9)), /version 9/);
});

it('16 bytes are written as the text of a UUID', () => {
  assert.equal(
    uuidText(Buffer.from('00112233445566778899aabbccddeeff', 'hex')),
    '00112233-4455-6677-8899-aabbccddeeff',
  );
});
