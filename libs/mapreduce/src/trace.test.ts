import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { describe, it } from 'node:test';
import { CoordinatorStory } from './testing/coordinator-story.ts';
import { LeaderStory } from './testing/leader-story.ts';
import { parseStory, tell } from './testing/script.ts';

const folder = path.resolve(import.meta.dirname, '../testdata');

describe('the stories of testdata', () => {
  for (const file of readdirSync(folder).filter((name) => name.endsWith('.txt'))) {
    it(path.basename(file, '.txt').replaceAll('-', ' '), () => {
      const known = [...new CoordinatorStory().sentences, ...new LeaderStory().sentences];
      for (const { line, sentences, expected } of parseStory(readFileSync(path.join(folder, file), 'utf8'))) {
        const happened = sentences.flatMap((sentence) => tell(known, sentence));
        assert.deepEqual(happened, expected, `${file}:${line}: ${sentences.join('; ')}`);
      }
    });
  }
});
