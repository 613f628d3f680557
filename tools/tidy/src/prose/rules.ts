/**
 * Rules for what people read: plain English, lines that fit a screen, names of tests that say the
 * hazard.
 */
import ts from 'typescript';

export interface Finding {
  /** From 1. */
  line: number;
  what: string;
}

/** Columns of a line of prose. Tables, code blocks and lines that are one long word are exempt. */
export const proseColumnsMax = 100;
/** Characters of the name of a test or suite. */
export const testNameCharactersMax = 80;

/** Phrases that a reader has to decode, and what to write in their place. */
const bannedPhrases: readonly (readonly [RegExp, string])[] = [
  [/\banew\b/i, 'again, or: new'],
  [/\b(whoever|whomever|whosoever)\b/i, 'the caller, the node …: name it'],
  // The Unix user of this name stands in quotes, or begins a line of /etc/passwd.
  [/(?<!['"](?=nobody['"]))\b(nobody|no-one)\b(?!:x:)/i, 'name it: no caller, no node …'],
  [/\bshall\b/i, 'must, or the present tense'],
  [/\bmoot\b/i, 'obsolete'],
  [/\bfor ever\b/i, 'without limit, indefinitely'],
  [/\bso long\b(?! as\b)/i, 'a maximum with its unit'],
  [/\bso long as it\b/i, 'while it'],
  [/\bat most so (long|many|much|often)\b/i, 'a maximum with its unit'],
  [/\b(cannot|can't|could not) be had\b/i, 'is not available'],
  [/\b(is|are|was|were|be|been) told\b/i, 'gets, receives: say who sends what'],
  [/\bsays? so\b/i, 'reports it, fails with …: say what happens'],
  [/\bof theirs\b/i, 'their'],
  [/\bsuch as it is\b/i, 'unchanged'],
  [/\bthat which\b/i, 'what, or name it'],
  [/\borderly\b/i, 'graceful'],
  [/\bthe weather\b/i, 'expected'],
  [/\b(thereof|therein|whence|hence|lest|ere)\b/i, 'plain words'],
];

/** A docstring that begins in the middle of a sentence. */
const headless = /\/\*\* (Of|By|And|Or|With|Whose|Whoever|Whichever|Nobody|Such|Than|That which) /;

const testNameKebab = /^[a-z0-9’']+(-[a-z0-9’'.,]+){2,}$/;

/** Findings of one file, by its ending; an empty list means that it is in order. */
export function checkProse(file: string, text: string): Finding[] {
  const lines = text.split('\n');
  return [
    ...lines.flatMap((line, index) => phrasesOf(line, index + 1)),
    ...wideLines(file, lines),
    ...(/\.(test|int|e2e)\.ts$|\/conformance\//.test(file) ? checkTestNames(text) : []),
  ];
}

function phrasesOf(line: string, number: number): Finding[] {
  const phrases = bannedPhrases.flatMap(([pattern, better]) => {
    const match = pattern.exec(line);
    return match === null ? [] : [{ line: number, what: `"${match[0]}": write ${better}` }];
  });
  if (headless.test(line)) phrases.push({ line: number, what: 'a docstring without subject or verb' });
  return phrases;
}

function wideLines(file: string, lines: readonly string[]): Finding[] {
  const isProse = file.endsWith('.md') ? markdownProse() : commentProse(file);
  return lines.flatMap((line, index) =>
    isProse(line) &&
    line.length > proseColumnsMax &&
    /\S\s+\S/.test(line.trim().replace(/^(\*|\/\/|#|--|>|-|\d+\.)\s*/, ''))
      ? [{ line: index + 1, what: `${line.length} columns of prose` }]
      : [],
  );
}

/** Markdown outside tables, code blocks and lists of links. */
function markdownProse(): (line: string) => boolean {
  let inCode = false;
  return (line) => {
    if (/^\s*```/.test(line)) inCode = !inCode;
    return !inCode && !/^\s*\|/.test(line) && !/^\s*(\[[^\]]*\]:|<)/.test(line);
  };
}

function commentProse(file: string): (line: string) => boolean {
  if (/\.(ts|mjs|js)$/.test(file)) return (line) => /^\s*(\/\/|\/\*|\*( |$))/.test(line);
  if (file.endsWith('.sql')) return (line) => /^\s*--/.test(line);
  return (line) => /^\s*#/.test(line);
}

function checkTestNames(text: string): Finding[] {
  const source = ts.createSourceFile('test.ts', text, ts.ScriptTarget.Latest, true);
  const findings: Finding[] = [];
  const visit = (node: ts.Node): void => {
    if (ts.isCallExpression(node) && /^(it|test|describe|suite)$/.test(node.expression.getText(source))) {
      const [name] = node.arguments;
      if (name !== undefined && (ts.isStringLiteralLike(name) || ts.isTemplateExpression(name))) {
        const { line } = source.getLineAndCharacterOfPosition(name.getStart(source));
        const words = name.getText(source).slice(1, -1);
        if (words.length > testNameCharactersMax)
          findings.push({ line: line + 1, what: `a test name of ${words.length} characters` });
        if (testNameKebab.test(words))
          findings.push({ line: line + 1, what: 'a test name in kebab case: write a sentence' });
      }
    }
    ts.forEachChild(node, visit);
  };
  visit(source);
  return findings;
}
