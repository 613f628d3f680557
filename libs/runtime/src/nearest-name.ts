/** Finds the name that a misspelt one was meant to be. */

/**
 * The name of `known` that is nearest to `name`; undefined if none is near. Near means: no more
 * edits than a third of the characters, whether letters are upper or lower case and whether words
 * are joined by `-`, `_` or neither aside.
 */
export function nearestName(name: string, known: readonly string[]): string | undefined {
  // A longer text was no slip, and the work grows with its length.
  if (name.length > nameCharsMax) return undefined;
  const wanted = plain(name);
  let nearest: { name: string; edits: number } | undefined;
  for (const each of known) {
    const candidate = plain(each);
    const edits = editsBetween(wanted, candidate);
    const editsMax = Math.max(1, Math.floor(Math.max(wanted.length, candidate.length) / 3));
    const isPrefix = wanted.length >= 3 && candidate.startsWith(wanted);
    if ((edits <= editsMax || isPrefix) && edits < Math.min(nearest?.edits ?? Infinity, candidate.length))
      nearest = { name: each, edits };
  }
  return nearest?.name;
}

/** Returns `: did you mean NAME?`, or nothing if no name is near. */
export function didYouMean(name: string, known: readonly string[]): string {
  const nearest = nearestName(name, known);
  return nearest === undefined ? '' : `: did you mean ${nearest}?`;
}

/** From this length on, two edits are a misspelling; below it, they make another word. */
const longNameChars = 12;

/**
 * Whether `word` is `name` with one edit, or in a long name two. Stricter than {@link nearestName},
 * because the environment is full of variables of other programs.
 */
export function isMisspelling(word: string, name: string): boolean {
  if (word === name || Math.abs(word.length - name.length) > 2) return false;
  return editsBetween(word.toUpperCase(), name.toUpperCase()) <= (name.length >= longNameChars ? 2 : 1);
}

const nameCharsMax = 64;

function plain(name: string): string {
  return name.toLowerCase().replace(/[-_]/g, '');
}

/**
 * The number of edits that turn `a` into `b`: a character inserted, deleted or replaced, or two
 * neighbours swapped (Damerau and Levenshtein, in the variant "optimal string alignment").
 */
function editsBetween(a: string, b: string): number {
  let beforePrevious: number[] = [];
  let previous = Array.from({ length: b.length + 1 }, (_, column) => column);
  for (let row = 1; row <= a.length; row++) {
    const current = [row];
    for (let column = 1; column <= b.length; column++) {
      const replaced = previous[column - 1]! + (a[row - 1] === b[column - 1] ? 0 : 1);
      let least = Math.min(replaced, previous[column]! + 1, current[column - 1]! + 1);
      const isSwap = a[row - 1] === b[column - 2] && a[row - 2] === b[column - 1];
      if (row > 1 && column > 1 && isSwap) least = Math.min(least, beforePrevious[column - 2]! + 1);
      current.push(least);
    }
    beforePrevious = previous;
    previous = current;
  }
  return previous[b.length]!;
}
