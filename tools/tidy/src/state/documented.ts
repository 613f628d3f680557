/** Reads docs/state-ownership.md, and holds it against the state that the code has. */
import type { FoundState, StateKind } from './found.ts';

/** One name of a row of the table. */
export interface DocumentedState {
  kind: StateKind;
  name: string;
  /** The package that alone writes it; undefined where the owner is a server of somebody else. */
  owner: string | undefined;
}

const kinds: readonly StateKind[] = ['table', 'topic', 'znode', 'folder', 'key'];

/** Rows are `| kind | names | owner | state | survives |`; names and owner stand in backticks. */
export function readDocumentedState(markdown: string): DocumentedState[] {
  return markdown.split('\n').flatMap((line) => {
    const [, kind, names, owner] = line.split('|').map((cell) => cell.trim());
    const known = kinds.find((each) => each === kind);
    if (known === undefined || names === undefined || owner === undefined) return [];
    const [owning] = namesIn(owner);
    return namesIn(names).map((name) => ({ kind: known, name, owner: owning }));
  });
}

function namesIn(cell: string): string[] {
  return [...cell.matchAll(/`([^`]+)`/g)].map((match) => match[1] ?? '');
}

/**
 * What is wrong between the table and the code, in words; an empty list means that they agree.
 */
export function compareState(documented: readonly DocumentedState[], found: readonly FoundState[]): string[] {
  const problems: string[] = [];
  const rowsOf = ({ kind, name }: { kind: StateKind; name: string }) =>
    documented.filter((row) => row.kind === kind && row.name === name);
  for (const state of found) {
    const owners = rowsOf(state).map(({ owner }) => owner);
    if (owners.length === 0) problems.push(`${state.kind} ${state.name} (${state.place}) is not documented`);
    // Znodes of two services may have one name; each then has a row.
    else if (state.writer !== undefined && !owners.includes(state.writer))
      problems.push(
        `${state.kind} ${state.name} is ${owners.join(', ')}'s, and ${state.place} writes it too`,
      );
  }
  for (const row of documented) {
    const label = `${row.kind} ${row.name}`;
    if (!found.some(({ kind, name }) => kind === row.kind && name === row.name))
      problems.push(`${label} is documented and not in the code`);
    if (rowsOf(row).filter(({ owner }) => owner === row.owner).length > 1)
      problems.push(`${label} is documented twice`);
  }
  return [...new Set(problems)];
}
