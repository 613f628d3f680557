import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { describe, it } from 'node:test';
import { commandBlocks, outputDifference, pageFindings, scriptOf } from './documents.ts';

const page = (shown: string, command = 'echo "stored 3 of 3"; echo "p50 87 ms"') =>
  ['# Page', '<!-- run -->', '', '```sh', command, '```', '', '<!-- output -->', '```', shown, '```'].join(
    '\n',
  );

function findings(text: string): string[] {
  const blocks = commandBlocks(text);
  try {
    const stdout = execFileSync('bash', ['-c', scriptOf(blocks, (script) => script)], { encoding: 'utf8' });
    return pageFindings('page.md', blocks, { stdout, stderr: '', code: 0 });
  } catch (error) {
    const { stdout, stderr, status } = error as { stdout: string; stderr: string; status: number };
    return pageFindings('page.md', blocks, { stdout, stderr, code: status });
  }
}

describe('commands in a page', () => {
  it('a block whose output is as shown has no finding', () => {
    assert.deepEqual(findings(page('stored 3 of 3\np50 … ms')), []);
    assert.deepEqual(findings(page('…')), []);
    assert.deepEqual(
      findings(page('stored 9 of 9\np50 1.5 ms').replace('output', 'output, numbers vary')),
      [],
    );
  });

  it('a planted wrong output is found with its line', () =>
    assert.deepEqual(findings(page('stored 4 of 4\n…')), [
      'page.md:9 shown: stored 4 of 4, printed: stored 3 of 3',
    ]));

  it('a planted command that fails is found with its line', () =>
    assert.deepEqual(findings(page('…', 'echo begun; echo no such thing >&2; exit 3')), [
      'page.md:4 ends with 3: begun no such thing',
    ]));

  it('missing and surplus lines are differences', () => {
    assert.equal(outputDifference('a\nb', 'a'), 'shown, not printed: b');
    assert.equal(outputDifference('a', 'a\nb'), 'printed, not shown: b');
    assert.equal(outputDifference('a\n…\nd', 'a\nb\nc\nd'), undefined);
    assert.equal(outputDifference('│ a │\n├──┤', '│ a    │\n├─────┤'), undefined);
  });

  it('marks are read, and a block of commands without one is seen', () => {
    const marks = commandBlocks(
      [
        ...['<!-- run -->', '```sh', 'a', '```'],
        ...['<!-- not run: it needs root -->', '```', 'b', '```'],
        ...['text', '```', 'npx mesh status', '```', '```json', '{}', '```', '```', 'a picture', '```'],
      ].join('\n'),
    ).map(({ line, mark }) => [line, mark]);
    assert.deepEqual(marks, [
      [2, { kind: 'run' }],
      [6, { kind: 'not run', reason: 'it needs root' }],
      [10, undefined],
    ]);
    assert.throws(() => commandBlocks('<!-- output -->\n```\nx\n```'), /line 2/);
  });
});
