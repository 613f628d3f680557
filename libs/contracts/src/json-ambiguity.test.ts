import assert from 'node:assert/strict';
import { it } from 'node:test';
import fc from 'fast-check';
import { ambiguityIn, repeatedMember } from './json-ambiguity.ts';

it('JSON that another reader takes for something else is found', () => {
  const cases: [string | Buffer, RegExp][] = [
    ['{"a":1,"a":2}', /names "a" twice/],
    ['[{"b":[{"a":1 , "\\u0061" : 2}]}]', /names "a" twice/],
    ['{"a":"\\ud800"}', /half of a character/],
    [Buffer.from([0x22, 0xff, 0x22]), /not UTF-8/],
  ];
  for (const [text, expected] of cases)
    assert.match(ambiguityIn(Buffer.from(text)) ?? '', expected, String(text));
});

it('JSON with one meaning is left alone, whatever its strings contain', () => {
  for (const text of [
    '{"a":{"a":1},"b":["a","a"]}',
    '{"a":"\\"a\\":{","b":"a"}',
    '[[],{}]',
    '"\\ud83d\\ude00"',
  ])
    assert.equal(ambiguityIn(Buffer.from(text)), undefined, text);
  fc.assert(
    fc.property(fc.json({ stringUnit: 'grapheme' }), (text) => {
      assert.equal(ambiguityIn(Buffer.from(JSON.stringify(JSON.parse(text)))), undefined);
    }),
  );
});

it('a repeated member is found in the outer object only, and only if it is asked for', () => {
  const repeated = (json: string) => repeatedMember(json, new Set(['seq', 'celsius']));
  assert.equal(repeated('{"seq":1,"celsius":2,"\\u0073eq":1}'), 'seq');
  for (const json of [
    '{"x":1,"x":2}',
    '{"x":{"seq":1,"seq":2},"seq":3}',
    '{"note":"seq","seq":1}',
    '[]',
    '1',
  ])
    assert.equal(repeated(json), undefined, json);
});
