import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { brokenCitations } from './failure-modes.ts';
import { mutants } from './mutants/catalogue.ts';
import { readText, trackedFiles } from './repository.ts';
import { readTestNames } from './test-names.ts';

const files = trackedFiles();
const testNames = readTestNames(files, readText);
const known = { testNames, files, mutants: mutants.map(({ name }) => name) };
const row = (evidence: string) => `| a fault | a log line | a guard | ${evidence} |\n`;

describe('the tests that failure-modes.md names', () => {
  it('every test, story, stage, file and mutant in the last column exists', () =>
    assert.deepEqual(brokenCitations(readText('docs/failure-modes.md'), known), []));

  it('every row names something that fails without its guard', () =>
    assert.deepEqual(brokenCitations(row('trust us'), known), ['a fault: names no test']));

  it('a planted test that does not exist is reported with its row', () =>
    assert.deepEqual(brokenCitations(row('e2e `a test that was never written`'), known), [
      'a fault: no test is named "a test that was never written"',
    ]));

  it('a planted mutant that is not in the catalogue is reported', () =>
    assert.deepEqual(brokenCitations(row('mutants `no-fence`, `no-such-mutant`'), known), [
      'a fault: no mutant is named "no-such-mutant"',
    ]));

  it('a planted file that does not exist is reported', () =>
    assert.deepEqual(brokenCitations(row('int `never.int.ts`'), known), ['a fault: no file "never.int.ts"']));
});

describe('names of tests', () => {
  const read = (text: string) => readTestNames(['a.test.ts'], () => text);

  it('a name of several strings is read whole, and a value in it stands for any text', () => {
    assert.deepEqual(read("it('one ' + 'name', () => {});"), [['one name']]);
    assert.deepEqual(read('it(`${server} heals ${times} times`, () => {});'), [['', ' heals ', ' times']]);
  });

  it('a name from a table of cases is read from the strings of its file', () =>
    assert.deepEqual(read("for (const what of ['a kill', 'a pause']) it(what, () => {});"), [
      ['a kill'],
      ['a pause'],
    ]));

  it('part of a name is enough, but not of a value in it', () => {
    const names = { testNames: [['', ' heals after ', ' kills']], files: [], mutants: [] };
    assert.deepEqual(brokenCitations(row('`heals after`'), names), []);
    assert.deepEqual(brokenCitations(row('`the mesh heals after 3 kills`'), names), []);
    assert.deepEqual(brokenCitations(row('`heals before`'), names), [
      'a fault: no test is named "heals before"',
    ]);
  });
});
