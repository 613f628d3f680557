import path from 'node:path';
import { carryOut, storyTests } from '@thermomesh/testing';
import { CoordinatorStory } from './testing/coordinator-story.ts';
import { LeaderStory } from './testing/leader-story.ts';

storyTests(path.resolve(import.meta.dirname, '../testdata'), () => {
  const sentences = [...new CoordinatorStory().sentences, ...new LeaderStory().sentences];
  return (sentence) => carryOut(sentences, sentence);
});
