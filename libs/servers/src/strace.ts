/**
 * Finds `strace`, which records the system calls of a process: on PATH, or else in Debian's
 * packages, which are unpacked into a folder. It exists on Linux only.
 */
import path from 'node:path';
import { messageOf } from '@thermomesh/runtime';
import { libraryPath, unpackDebian } from './tools/debian.ts';
import { onPath } from './tools/search-path.ts';

/** The program, and the environment that it needs. */
export interface Strace {
  program: string;
  /** Its own libraries; the traced program must not see them. */
  env: Record<string, string>;
  /** Where it comes from, for people. */
  origin: string;
}

/** The package and the library that a bare system lacks. */
const packages = ['strace', 'libunwind8'];

/**
 * Finds the program on the search path, or unpacks it below `toolsDir` (no root, no system
 * service).
 * @param searchPath as in `PATH`
 * @returns the program, or `{ missing }`: one line that says why it is absent and what to do
 */
export async function findStrace(
  toolsDir: string,
  searchPath: string,
): Promise<Strace | { missing: string }> {
  const program = await onPath('strace', searchPath);
  if (program !== undefined) return { program, env: {}, origin: program };
  try {
    const folder = await unpackDebian({ toolsDir, name: 'strace', packages });
    return {
      program: path.join(folder, 'usr', 'bin', 'strace'),
      env: { LD_LIBRARY_PATH: libraryPath(folder) },
      origin: folder,
    };
  } catch (error) {
    const why = messageOf(error).split('\n')[0];
    return { missing: `strace is absent (${why}): install the package "strace"` };
  }
}
