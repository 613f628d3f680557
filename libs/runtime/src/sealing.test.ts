import assert from 'node:assert/strict';
import { it } from 'node:test';
import { createFingerprinter, createSealer } from './sealing.ts';

const secret = 's'.repeat(32);

it('a sealed text opens only with its own secret, purpose and context', () => {
  const sealer = createSealer(secret, 'test');
  for (const text of ['', 'tok_4242', 'é…\u0000', 'x'.repeat(10_000)]) {
    const box = sealer.seal('a', text);
    assert.equal(sealer.open('a', box), text);
    assert.ok(text.length < 4 || !box.includes(text));
    assert.notDeepEqual(sealer.seal('a', text), box);
  }
  const box = sealer.seal('a', 'tok_4242');
  const flipped = Buffer.from(box);
  flipped[flipped.length - 1]! ^= 1;
  for (const open of [
    () => sealer.open('b', box),
    () => createSealer('t'.repeat(32), 'test').open('a', box),
    () => createSealer(secret, 'other').open('a', box),
    () => sealer.open('a', flipped),
    ...[0, 5, 20, box.length - 1].map((length) => () => sealer.open('a', box.subarray(0, length))),
  ])
    assert.throws(open, { code: 'seal.unreadable' });
});

it('a fingerprint depends on every parameter, its type and its position', () => {
  const fingerprint = createFingerprinter(secret, 'test');
  const all = [['a', 'b'], ['ab'], ['b', 'a'], ['a', 1], ['a', '1'], ['a', null], ['a', 'null'], []];
  assert.equal(new Set(all.map(fingerprint)).size, all.length);
  assert.equal(fingerprint(['a', 1]), fingerprint(['a', 1]));
  assert.notEqual(createFingerprinter('t'.repeat(32), 'test')(['a']), fingerprint(['a']));
});
