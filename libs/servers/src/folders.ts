/**
 * Folders with a mode of their own, whatever the umask: another user, PostgreSQL's for example, has
 * to enter some of them.
 */
import { chmodSync, mkdirSync, readdirSync, statSync } from 'node:fs';
import path from 'node:path';
import { codeOf } from '@thermomesh/runtime';

/** Every user may enter and read. */
export const openMode = 0o755;
const permissionBits = 0o7777;
const executableByOwner = 0o100;

/** Creates the folder and its missing parents with exactly this mode. */
export function makeFolder(folder: string, mode = openMode): void {
  const first = mkdirSync(folder, { recursive: true, mode });
  if (first === undefined) return;
  const made = path.resolve(first);
  for (let each = path.resolve(folder); each.startsWith(made); each = path.dirname(each))
    chmodSync(each, mode);
}

/**
 * Gives a folder of the project the permissions that it lacks, such as one that an earlier start
 * made under umask 077. What another user owns stays as it is.
 * @returns true if the mode was changed
 */
export function mendFolder(folder: string, mode = openMode): boolean {
  const found = statSync(folder, { throwIfNoEntry: false });
  if (found === undefined || (found.mode & mode) === mode) return false;
  try {
    chmodSync(folder, (found.mode | mode) & permissionBits);
    return true;
  } catch (error) {
    if (codeOf(error) === 'EPERM') return false;
    throw error;
  }
}

/** Lets every user enter and read all of a folder, and run the programs in it. */
export function openTree(folder: string): void {
  mendFolder(folder);
  for (const entry of readdirSync(folder, { withFileTypes: true })) {
    const inside = path.join(folder, entry.name);
    if (entry.isDirectory()) openTree(inside);
    else if (entry.isFile())
      mendFolder(inside, (statSync(inside).mode & executableByOwner) === 0 ? 0o644 : openMode);
  }
}
