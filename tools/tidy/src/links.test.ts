import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { brokenLinks } from './links.ts';
import { readText, trackedFiles } from './repository.ts';

describe('links in Markdown files', () => {
  it('every relative link leads to a file or folder, and to a heading if it names one', () =>
    assert.deepEqual(brokenLinks(trackedFiles(), readText), []));

  const other = 'docs/other.md';
  const check = (text: string) =>
    brokenLinks(['README.md', other, 'src/main.ts'], (file) =>
      file === other ? '## Two words: `a`\n' : text,
    );

  it('a planted link to a missing file is reported with its line', () =>
    assert.deepEqual(check('# Title\n[there](docs/gone.md), [here](docs/other.md)\n'), [
      'README.md:2 docs/gone.md: no such file',
    ]));

  it('a planted link to a missing heading is reported', () => {
    assert.deepEqual(check('[good](docs/other.md#two-words-a), [bad](docs/other.md#three)\n'), [
      'README.md:1 docs/other.md#three: no such heading',
    ]);
    assert.deepEqual(check('# Title\n[up](#title), [down](#end)\n'), ['README.md:2 #end: no such heading']);
  });

  it('folders, code and addresses are not reported', () =>
    assert.deepEqual(
      check('[a](src/) [`b`](src/main.ts) `[c](x)`\n```\n[d](y)\n```\n[e](https://e.org/f)\n'),
      [],
    ));
});
