import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { describe, it } from 'node:test';
import { carryOut, parseStory, temporaryFolder, until } from './index.ts';

describe('until', () => {
  it('until resolves when the condition becomes true', async () => {
    let looks = 0;
    await until('the third look', () => ++looks === 3);
    assert.equal(looks, 3);
  });

  it('until rejects with the name of a condition that stays false', async () =>
    assert.rejects(
      until('snow in July', () => false, { timeoutMs: 1, pollMs: 1 }),
      /snow in July/,
    ));
});

it('a look that never returns ends in an error that names the condition', async () =>
  assert.rejects(
    until('a sign', () => new Promise(() => undefined), { timeoutMs: 1, pollMs: 1 }),
    /a sign \(the last look hangs\)/,
  ));

describe('stories', () => {
  it('a script is read as paragraphs of sentences and expected lines', () =>
    assert.deepEqual(parseStory('# a title\n\n1 dies # at once\n----\n2 leads\n\n2 dies\n'), [
      { line: 3, sentences: ['1 dies'], expected: ['2 leads'] },
      { line: 7, sentences: ['2 dies'], expected: [] },
    ]));

  it('a sentence is carried out by the first pattern that matches', () =>
    assert.equal(
      carryOut<string>([[/^(\d) dies( late)?$/, (node, late) => `${node}${late}.`]], '1 dies'),
      '1.',
    ));

  it('an unknown sentence of a story is an error', () =>
    assert.throws(() => carryOut([], '1 sings'), /1 sings/));
});

it('a temporary folder is gone after the test', async () => {
  let place: string;
  {
    await using temporary = await temporaryFolder('testing');
    place = temporary.folder;
    assert.ok(existsSync(place));
  }
  assert.ok(!existsSync(place));
});
