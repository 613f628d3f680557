/**
 * Makes the names of folders and files survive a power loss: a new name is on the disk only when
 * the folder that it stands in was synced. A sync of the file itself does not promise it.
 */
import { closeSync, fsyncSync, mkdirSync, openSync } from 'node:fs';
import path from 'node:path';
import { codeOf } from './errors.ts';

/** Makes a folder and its parents if they are missing, and syncs the names of the new ones. */
export function makeDurableFolder(folder: string): void {
  const made = mkdirSync(folder, { recursive: true });
  // A folder that exists may come from a start that died before it had synced the name.
  const first = path.resolve(made ?? folder);
  let name = path.resolve(folder);
  for (;;) {
    syncFolder(path.dirname(name));
    if (name === first) return;
    name = path.dirname(name);
  }
}

/** Syncs the names in a folder. */
export function syncFolder(folder: string): void {
  // Windows cannot open a folder; NTFS keeps names in its journal.
  if (process.platform === 'win32') return;
  let descriptor: number;
  try {
    descriptor = openSync(folder, 'r');
  } catch (error) {
    // A folder that this user may not read is one that somebody else has made.
    if (codeOf(error) === 'EACCES') return;
    throw error;
  }
  try {
    fsyncSync(descriptor);
  } finally {
    closeSync(descriptor);
  }
}
