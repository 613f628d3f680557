import path from 'node:path';
import { storyTests } from '@thermomesh/testing';
import { Story } from './testing/story.ts';

storyTests(path.resolve(import.meta.dirname, '../testdata'), () => {
  const story = new Story();
  return (sentence) => story.tell(sentence);
});
