import assert from 'node:assert/strict';
import { it } from 'node:test';
import { parseMetadata } from './probe.ts';

it('Kafka metadata is read with and without racks and without a controller', () => {
  const int32 = (value: number) => {
    const bytes = Buffer.alloc(4);
    bytes.writeInt32BE(value);
    return bytes;
  };
  const text = (value: string | null) => {
    const length = Buffer.alloc(2);
    length.writeInt16BE(value === null ? -1 : value.length);
    return Buffer.concat([length, Buffer.from(value ?? '')]);
  };
  const broker = (id: number, rack: string | null) =>
    Buffer.concat([int32(id), text('127.0.0.1'), int32(9092), text(rack)]);
  const answer = Buffer.concat([int32(1), int32(2), broker(3, 'a'), broker(1, null), int32(-1), int32(0)]);
  assert.deepEqual(parseMetadata(answer), { brokerIds: [1, 3], controllerId: -1 });
});
