import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { commandBlocks } from '@thermomesh/testing';
import { readText, trackedFiles } from './repository.ts';

/** The command blocks of a page that do not say whether a test runs them. */
function unmarked(file: string, text: string): string[] {
  return commandBlocks(text)
    .filter(({ mark }) => mark === undefined)
    .map(({ line }) => `${file}:${line} needs <!-- run --> or <!-- not run: reason -->`);
}

describe('commands in the pages', () => {
  it('every block of commands is run by a test, or says why not', () => {
    const pages = trackedFiles().filter((file) => file === 'README.md' || /^docs\/.*\.md$/.test(file));
    assert.deepEqual(
      pages.flatMap((file) => unmarked(file, readText(file))),
      [],
    );
  });

  it('a planted block without a mark is reported', () =>
    assert.deepEqual(unmarked('page.md', 'Try it:\n```sh\nnpx mesh status\n```\n'), [
      'page.md:2 needs <!-- run --> or <!-- not run: reason -->',
    ]));
});
