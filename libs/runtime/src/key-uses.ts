/**
 * When each API key was last used: the modification time of one empty file per key, in a folder
 * beside the key file. Any number of processes write it.
 */
import { readdirSync, statSync } from 'node:fs';
import { mkdir, utimes, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { codeOf } from './errors.ts';

/** Precision of a last use: a process records the uses of one key at most this often. */
export const keyUsePrecisionMs = 60_000;

export interface KeyUses {
  /** Notes a use of the key. It returns at once: no request waits for the disk. */
  record(id: string): void;
}

/** The folder of last uses that belongs to a key file. */
export function keyUsesFolder(file: string): string {
  return `${file}.uses`;
}

/**
 * Records the uses of the keys in `file`.
 * @param options `onError` receives the first error of each code, such as EROFS of a folder that
 *   may only be read
 */
export function createKeyUses(
  file: string,
  { now, onError }: { now: () => number; onError: (error: unknown) => void },
): KeyUses {
  const recordedAtMs = new Map<string, number>();
  const reported = new Set<string | undefined>();
  return {
    record(id) {
      const nowMs = now();
      if (nowMs - (recordedAtMs.get(id) ?? -Infinity) < keyUsePrecisionMs) return;
      recordedAtMs.set(id, nowMs);
      touch(keyUsesFolder(file), id, new Date(nowMs)).catch((error: unknown) => {
        const code = codeOf(error);
        if (reported.has(code)) return;
        reported.add(code);
        onError(error);
      });
    },
  };
}

async function touch(folder: string, id: string, time: Date): Promise<void> {
  const file = path.join(folder, id);
  try {
    await utimes(file, time, time);
  } catch (error) {
    if (codeOf(error) !== 'ENOENT') throw error;
    await mkdir(folder, { recursive: true, mode: 0o700 });
    await writeFile(file, '', { mode: 0o600, flag: 'a' });
    await utimes(file, time, time);
  }
}

/** The last use of each key of `file` that was used: Unix ms by id. */
export function readKeyUses(file: string): Map<string, number> {
  const folder = keyUsesFolder(file);
  try {
    return new Map(readdirSync(folder).map((id) => [id, statSync(path.join(folder, id)).mtimeMs]));
  } catch (error) {
    if (codeOf(error) === 'ENOENT') return new Map();
    throw error;
  }
}
