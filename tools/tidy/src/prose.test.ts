import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { proseFiles } from './prose/files.ts';
import { checkProse } from './prose/rules.ts';
import { readText, trackedFiles } from './repository.ts';

/** The findings of a planted text, in words. */
function findingsOf(file: string, text: string): string {
  return checkProse(file, text)
    .map(({ what }) => what)
    .join();
}

describe('prose', () => {
  it('everything that people read keeps the rules', () => {
    const findings = proseFiles(trackedFiles()).flatMap((file) =>
      checkProse(file, readText(file)).map(({ line, what }) => `${file}:${line} ${what}`),
    );
    assert.deepEqual(findings, []);
  });

  it('a phrase that has to be decoded goes red in comments, texts and documents', () => {
    assert.match(findingsOf('a.ts', '// The node is told who leads.'), /is told/);
    assert.match(findingsOf('a.ts', "throw new Error('nobody answers')"), /nobody/);
    assert.match(findingsOf('a.md', 'It begins anew.'), /anew/);
  });

  it('a docstring without a head goes red', () =>
    assert.match(findingsOf('a.ts', '/** Of another member: its address. */'), /without subject/));

  it('wide prose goes red, a wide table and wide code do not', () => {
    const wide = 'word '.repeat(21);
    assert.match(findingsOf('a.ts', `/** ${wide} */`), /columns/);
    assert.match(findingsOf('a.md', wide), /columns/);
    assert.match(findingsOf('a.yml', `# ${wide}`), /columns/);
    assert.equal(findingsOf('a.md', `| ${wide} |`), '');
    assert.equal(findingsOf('a.md', `\`\`\`\n${wide}\n\`\`\``), '');
    assert.equal(findingsOf('a.ts', `const text = '${wide}';`), '');
  });

  it('a test name that is long or in kebab case goes red', () => {
    assert.match(findingsOf('a.test.ts', `it('${'x'.repeat(81)}', run);`), /81 characters/);
    assert.match(findingsOf('a.test.ts', "it('a-node-that-flaps', run);"), /kebab/);
    assert.equal(findingsOf('a.test.ts', "it('a node that flaps never preempts', run);"), '');
  });

  it('all kinds of files are read', () => {
    const files = proseFiles(trackedFiles());
    for (const file of ['README.md', 'docker-compose.yml', 'Dockerfile', 'scripts/test.mjs', '.env.example'])
      assert.ok(files.includes(file), file);
  });
});
