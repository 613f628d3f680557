/** Keeps a folder of evidence within a size. */
import { readdirSync, rmSync, statSync } from 'node:fs';
import path from 'node:path';

/** There is no such folder. */
const absent = new Set(['ENOENT', 'ENOTDIR']);

/** A file that may be removed, with its size. */
interface Kept {
  file: string;
  bytes: number;
  changedAtMs: number;
}

/**
 * Removes the files that were changed longest ago until those that remain fit; the latest one
 * always remains.
 * @param belongs tells which names in `folder` count, and may be removed
 * @returns the removed files; none if the folder does not exist
 */
export function keepWithin(folder: string, bytesMax: number, belongs: (name: string) => boolean): string[] {
  const files = filesOf(folder, belongs).sort((a, b) => b.changedAtMs - a.changedAtMs);
  let total = 0;
  const removed: string[] = [];
  for (const [index, { file, bytes }] of files.entries()) {
    total += bytes;
    if (total <= bytesMax || index === 0) continue;
    rmSync(file, { force: true });
    removed.push(file);
  }
  return removed;
}

function filesOf(folder: string, belongs: (name: string) => boolean): Kept[] {
  let names: string[];
  try {
    names = readdirSync(folder);
  } catch (error) {
    if (absent.has((error as NodeJS.ErrnoException).code ?? '')) return [];
    throw error;
  }
  return names.filter(belongs).flatMap((name) => {
    const file = path.join(folder, name);
    // Another process may have removed it meanwhile.
    const stat = statSync(file, { throwIfNoEntry: false });
    return stat === undefined ? [] : [{ file, bytes: stat.size, changedAtMs: stat.mtimeMs }];
  });
}
