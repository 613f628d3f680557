import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { parseMemberMetadata } from './member-metadata.ts';

describe('what a member says of itself', () => {
  it('metadata is a version, an address and a flavour, and nothing else', () => {
    const metadata = { version: '1.2.3', address: 'http://127.0.0.1:8080', flavour: 'red' };
    assert.deepEqual(parseMemberMetadata({ ...metadata, more: 1 }), metadata);
  });

  it('metadata with a missing or non-text field is refused', () => {
    const metadata = { version: '1', address: 'a:1', flavour: 'red' };
    for (const name of ['version', 'address', 'flavour'])
      for (const value of [undefined, '', 1])
        assert.throws(() => parseMemberMetadata({ ...metadata, [name]: value }), {
          message: new RegExp(name),
        });
    assert.throws(() => parseMemberMetadata(undefined), TypeError);
  });
});
