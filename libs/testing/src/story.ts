/**
 * Reads the trace scripts in `testdata/`: paragraphs of sentences, and the lines that the sentences
 * must produce.
 */

/** One paragraph of a script. */
export interface Paragraph {
  /** Line number of its first sentence, from 1. */
  line: number;
  sentences: string[];
  expected: string[];
}

/**
 * Reads a script: blank lines end a paragraph, `----` stands above the expected lines, `#` begins a
 * comment.
 */
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

/**
 * The pattern of a sentence and its action. The action gets the pattern's groups, absent ones as
 * ''.
 */
export type Sentence<Result> = [RegExp, (...words: string[]) => Result];

/**
 * Carries out one sentence and returns the result of its action.
 * @throws Error if no pattern matches
 */
export function carryOut<Result>(sentences: readonly Sentence<Result>[], sentence: string): Result {
  for (const [pattern, act] of sentences) {
    const match = pattern.exec(sentence);
    if (match !== null) return act(...match.slice(1).map((word: string | undefined) => word ?? ''));
  }
  throw new Error(`the story says "${sentence}", which no pattern matches`);
}
