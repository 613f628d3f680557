import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { decode, encode } from './documents.ts';

describe('documents', () => {
  it('a document survives encoding and decoding; other bytes are undefined', () => {
    fc.assert(
      fc.property(fc.jsonValue(), (value) =>
        assert.deepEqual(decode(encode(value)), JSON.parse(JSON.stringify(value))),
      ),
    );
    assert.equal(decode(Buffer.from('{')), undefined);
  });
});
