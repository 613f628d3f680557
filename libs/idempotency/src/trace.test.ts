import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { describe, it } from 'node:test';
import { parseStory, Story } from './testing/story.ts';

const folder = path.resolve(import.meta.dirname, '../testdata');

describe('the stories of testdata', () => {
  for (const file of readdirSync(folder).filter((name) => name.endsWith('.txt'))) {
    it(path.basename(file, '.txt').replaceAll('-', ' '), () => {
      const story = new Story();
      for (const { line, sentences, expected } of parseStory(readFileSync(path.join(folder, file), 'utf8'))) {
        const happened = sentences.flatMap((sentence) => story.tell(sentence));
        assert.deepEqual(happened, expected, `${file}:${line}: ${sentences.join('; ')}`);
      }
    });
  }
});
