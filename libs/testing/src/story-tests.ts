import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { describe, it } from 'node:test';
import { parseStory } from './story.ts';

/**
 * Declares one test for each trace script (`*.txt`) of a folder. Each test opens a fresh story and
 * compares what the sentences of every paragraph produce with the paragraph's expected lines.
 * @param open returns the function that carries out a sentence and returns the lines it produced
 */
export function storyTests(folder: string, open: () => (sentence: string) => string[]): void {
  describe('the stories of testdata', () => {
    for (const file of readdirSync(folder).filter((name) => name.endsWith('.txt'))) {
      it(path.basename(file, '.txt').replaceAll('-', ' '), () => {
        const tell = open();
        for (const paragraph of parseStory(readFileSync(path.join(folder, file), 'utf8'))) {
          const { line, sentences, expected } = paragraph;
          assert.deepEqual(sentences.flatMap(tell), expected, `${file}:${line}: ${sentences.join('; ')}`);
        }
      });
    }
  });
}
