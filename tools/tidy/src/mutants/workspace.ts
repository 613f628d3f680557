/** A copy of the repository in which a guard can be taken out without touching the original. */
import {
  cpSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  realpathSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import os from 'node:os';
import path from 'node:path';

/** Folders with our own sources. */
const ours = ['libs', 'services', 'apps', 'tools', 'e2e', 'scripts'];

export interface Workspace {
  folder: string;
  /**
   * Replaces `find`, which must stand in `file` exactly once, and returns a function that puts it
   * back.
   */
  mutate(file: string, find: string, replace: string): () => void;
  remove(): void;
}

/**
 * Copies our sources; third-party packages are linked, and our own package names lead to the copy.
 * The folder is readable for everybody, since a database server that root starts runs as another
 * user.
 */
export function createWorkspace(repository: string): Workspace {
  const folder = mkdtempSync(path.join(realpathSync(os.tmpdir()), 'thermomesh-mutants-'));
  const skipped = new Set(['node_modules', '.mesh', '.nx']);
  for (const name of [...ours, 'package.json', 'pom.xml', 'tsconfig.base.json']) {
    cpSync(path.join(repository, name), path.join(folder, name), {
      recursive: true,
      filter: (source) => !skipped.has(path.basename(source)),
    });
  }
  linkPackages(repository, folder);
  linkTools(repository, folder);
  return {
    folder,
    mutate(file, find, replace) {
      const target = path.join(folder, file);
      const original = readFileSync(target, 'utf8');
      const times = original.split(find).length - 1;
      if (times !== 1)
        throw new RangeError(`${file} holds the guard's text ${times} times, not once: ${find.trim()}`);
      writeFileSync(
        target,
        original.replace(find, () => replace),
      );
      return () => writeFileSync(target, original);
    },
    remove: () => rmSync(folder, { recursive: true, force: true }),
  };
}

function linkPackages(repository: string, folder: string): void {
  const modules = path.join(folder, 'node_modules');
  mkdirSync(path.join(modules, '@thermomesh'), { recursive: true });
  for (const name of readdirSync(path.join(repository, 'node_modules'))) {
    if (name === '@thermomesh') continue;
    symlinkSync(path.join(repository, 'node_modules', name), path.join(modules, name));
  }
  for (const root of ['libs', 'services', 'apps', 'tools']) {
    for (const name of readdirSync(path.join(folder, root))) {
      symlinkSync(path.join(folder, root, name), path.join(modules, '@thermomesh', name));
    }
  }
  symlinkSync(path.join(folder, 'e2e'), path.join(modules, '@thermomesh', 'e2e'));
}

/** Servers that were fetched for the repository serve the copy as well. */
function linkTools(repository: string, folder: string): void {
  const tools = path.join(repository, '.mesh', 'tools');
  mkdirSync(tools, { recursive: true });
  mkdirSync(path.join(folder, '.mesh'));
  symlinkSync(tools, path.join(folder, '.mesh', 'tools'));
}
