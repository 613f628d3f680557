/** The form of the trace scripts of `testdata/`: paragraphs of sentences, and what must come out of them. */

/** One paragraph of a script. */
export interface Paragraph {
  line: number;
  sentences: string[];
  expected: string[];
}

/** Reads a script: paragraphs apart by blank lines, what is expected below `----`, comments after `#`. */
export function parseStory(text: string): Paragraph[] {
  const paragraphs: Paragraph[] = [];
  let current: Paragraph | undefined;
  let below = false;
  for (const [index, raw] of text.split('\n').entries()) {
    const line = raw.replace(/#.*$/, '').trimEnd();
    if (raw.trim() === '') current = undefined;
    if (line === '') continue;
    if (current === undefined) {
      current = { line: index + 1, sentences: [], expected: [] };
      below = false;
      paragraphs.push(current);
    }
    if (line === '----') below = true;
    else (below ? current.expected : current.sentences).push(line);
  }
  return paragraphs;
}

/** What a sentence looks like, and what it does; the words of its groups are handed over, absent ones as ''. */
export type Sentence = [RegExp, (...words: string[]) => string[]];

/** Carries out a sentence and returns the lines of what happened. */
export function tell(sentences: readonly Sentence[], sentence: string): string[] {
  for (const [pattern, act] of sentences) {
    const match = pattern.exec(sentence);
    if (match !== null) return act(...match.slice(1).map((word: string | undefined) => word ?? ''));
  }
  throw new Error(`the story says "${sentence}", which is no known sentence`);
}
