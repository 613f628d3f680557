/** Finds what makes a valid JSON text mean something else to another reader. */
import { isUtf8 } from 'node:buffer';

/** Strings, and the characters between them that give a document its form. */
const tokens = /"[^"\\]*(?:\\.[^"\\]*)*"|[{}[\],:]/g;

/**
 * What is ambiguous in a JSON text that `JSON.parse` accepts, as the end of a sentence about it;
 * undefined if nothing is. Decoders replace ill-formed bytes and halves of characters without a
 * word, and of two members with one name they keep the last.
 */
export function ambiguityIn(bytes: Buffer): string | undefined {
  if (!isUtf8(bytes)) return 'is not UTF-8';
  let problem: string | undefined;
  readStrings(bytes.toString('utf8'), (text, names) => {
    if (!text.isWellFormed()) problem ??= 'contains half of a character (a lone surrogate)';
    if (names?.has(text) === true) problem ??= `names ${JSON.stringify(text.slice(0, 64))} twice`;
  });
  return problem;
}

/** The first of `names` that the object of a valid JSON text has twice; undefined if none. */
export function repeatedMember(json: string, names: ReadonlySet<string>): string | undefined {
  let repeated: string | undefined;
  readStrings(json, (text, before, depth) => {
    if (depth === 1 && before?.has(text) === true && names.has(text)) repeated ??= text;
  });
  return repeated;
}

/**
 * Calls `visit` with each string of a valid JSON text. If it is the name of a member, `names` has
 * the names before it in its object.
 */
function readStrings(
  json: string,
  visit: (text: string, names: ReadonlySet<string> | undefined, depth: number) => void,
): void {
  /** The names of each open object; undefined for an array. */
  const open: (Set<string> | undefined)[] = [];
  let previous = '';
  for (const [token] of json.matchAll(tokens)) {
    if (token === '{') open.push(new Set());
    else if (token === '[') open.push(undefined);
    else if (token === '}' || token === ']') open.pop();
    else if (token.startsWith('"')) {
      const text = JSON.parse(token) as string;
      const names = previous === '{' || previous === ',' ? open.at(-1) : undefined;
      visit(text, names, open.length);
      names?.add(text);
    }
    previous = token;
  }
}
