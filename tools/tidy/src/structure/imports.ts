/** The import graph of one package, read from its sources: types count as much as values. */
import { readFileSync } from 'node:fs';
import path from 'node:path';
import ts from 'typescript';

/**
 * File → the files of the same package that it imports; paths are relative to the package's `src`.
 */
export type ImportGraph = ReadonlyMap<string, ReadonlySet<string>>;

/** Tests and what only they use may import anything, so they are no part of the graph. */
const testFile = /\.(test|int|e2e)\.ts$|(^|\/)(testing|conformance)(\/|\.ts$)/;

/** @param files paths relative to `src`; `read` returns the text of one */
export function readImports(files: readonly string[], read: (file: string) => string): ImportGraph {
  const kept = new Set(files.filter((file) => file.endsWith('.ts') && !testFile.test(file)));
  return new Map(
    [...kept].map((file) => {
      const targets = ts
        .preProcessFile(read(file), true, true)
        .importedFiles.filter(({ fileName }) => fileName.startsWith('.'))
        .map(({ fileName }) => path.posix.join(path.posix.dirname(file), fileName))
        .filter((target) => kept.has(target) && target !== file);
      return [file, new Set(targets)];
    }),
  );
}

/** The graph of the sources below `folder`, of the files that `tracked` lists. */
export function importsBelow(repository: string, folder: string, tracked: readonly string[]): ImportGraph {
  const prefix = `${folder}/src/`;
  const files = tracked.filter((file) => file.startsWith(prefix)).map((file) => file.slice(prefix.length));
  return readImports(files, (file) => readFileSync(path.join(repository, prefix, file), 'utf8'));
}
