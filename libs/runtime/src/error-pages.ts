/** The entries of `docs/errors.md`, which the `type` of a problem document leads to. */
import { existsSync, readFileSync } from 'node:fs';

export interface ErrorPages {
  /** The whole document, in Markdown. */
  all: string;
  /** The entry of each code. */
  entries: ReadonlyMap<string, string>;
}

const place = new URL('../../../docs/errors.md', import.meta.url);

/** Reads the document; undefined where a process runs without the documents of the project. */
export function readErrorPages(file = place): ErrorPages | undefined {
  if (!existsSync(file)) return undefined;
  const all = readFileSync(file, 'utf8');
  const entries = all.split(/^(?=#{2,3} )/m).flatMap((text): [string, string][] => {
    const code = /^### (\S+)\n/.exec(text)?.[1];
    return code === undefined ? [] : [[code, `${text.trimEnd()}\n`]];
  });
  return { all, entries: new Map(entries) };
}
