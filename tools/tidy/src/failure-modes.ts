/** Reads which tests `docs/failure-modes.md` names, and finds those that do not exist. */
import type { TestName } from './test-names.ts';

/** What the document may name. */
export interface KnownTests {
  testNames: readonly TestName[];
  /** Paths relative to the repository. */
  files: readonly string[];
  /** Names in the catalogue. */
  mutants: readonly string[];
}

/**
 * One line for each row of a table whose last column names no test, or one that does not exist: a
 * quoted name is a mutant after the word "mutant", a file if it ends like one, and otherwise part
 * of the name of a test. `…` stands for text that the document leaves out.
 */
export function brokenCitations(markdown: string, known: KnownTests): string[] {
  return rowsOf(markdown).flatMap(({ fault, evidence }) => {
    const citations = citationsOf(evidence);
    if (citations.length === 0) return [`${fault}: names no test`];
    return citations.flatMap((citation) => {
      const problem = problemOf(citation, known);
      return problem === undefined ? [] : [`${fault}: ${problem}`];
    });
  });
}

interface Citation {
  quoted: string;
  isMutant: boolean;
}

/** First and last column of each row, without head and rule of the table. */
function rowsOf(markdown: string): { fault: string; evidence: string }[] {
  const lines = markdown.split('\n').filter((line) => line.startsWith('|'));
  const body = lines.filter(
    (line, index) => !/^\|[ :|-]+$/.test(line) && !/^\|[ :|-]+$/.test(lines[index + 1] ?? ''),
  );
  return body.map((line) => {
    const cells = line.split('|').map((cell) => cell.trim());
    return { fault: cells[1] ?? '', evidence: cells.at(-2) ?? '' };
  });
}

function citationsOf(evidence: string): Citation[] {
  return [...evidence.matchAll(/`([^`]+)`/g)].map(({ index, 1: quoted = '' }) => ({
    quoted,
    // The word governs every name up to the next word: "mutants `a`, `b`".
    isMutant: /\bmutants?\s*(`[^`]*`(,| and)?\s*)*$/.test(evidence.slice(0, index)),
  }));
}

function problemOf({ quoted, isMutant }: Citation, known: KnownTests): string | undefined {
  if (isMutant) return known.mutants.includes(quoted) ? undefined : `no mutant is named "${quoted}"`;
  if (/^[\w./-]+\.(ts|mjs)$/.test(quoted))
    return known.files.some((file) => `/${file}`.endsWith(`/${quoted}`)) ? undefined : `no file "${quoted}"`;
  const pieces = quoted.split('…').map((piece) => piece.trim());
  const wanted = pieces.filter((piece) => piece !== '');
  return known.testNames.some((name) => wanted.every((piece) => isPartOf(piece, name)))
    ? undefined
    : `no test is named "${quoted}"`;
}

/** A name whose fixed parts have fewer characters would match almost any text. */
const fixedCharactersMin = 10;

/** True if the text occurs in the name; where the name has a value, any text fits. */
function isPartOf(piece: string, name: TestName): boolean {
  if (name.some((part) => part.includes(piece))) return true;
  if (name.length === 1 || name.join('').length < fixedCharactersMin) return false;
  return new RegExp(`^${name.map(escapePattern).join('.+')}$`).test(piece);
}

/** The text as a pattern that matches only this text. */
function escapePattern(text: string): string {
  return text.replaceAll(/[$()*+.?[\\\]^{|}]/g, '\\$&');
}
