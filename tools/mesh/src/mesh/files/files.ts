/** Small files that other processes read while they are being written. */
import { existsSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { messageOf } from '@thermomesh/runtime';
import { makeFolder } from '@thermomesh/servers';
import { meshError } from '../../errors.ts';

/** Replaces the file in one step; only its owner may read it. */
export function writeJson(file: string, value: unknown): void {
  makeFolder(path.dirname(file));
  const building = `${file}.${process.pid}.new`;
  writeFileSync(building, `${JSON.stringify(value, undefined, 2)}\n`, { mode: 0o600 });
  renameSync(building, file);
}

/**
 * The file's content; undefined if there is no such file.
 * @throws MeshError `mesh.damaged_file`
 */
export function readJson<T>(file: string): T | undefined {
  if (!existsSync(file)) return undefined;
  try {
    const content: unknown = JSON.parse(readFileSync(file, 'utf8'));
    if (typeof content !== 'object' || content === null) throw new TypeError('it has no fields');
    return content as T;
  } catch (cause) {
    throw meshError('mesh.damaged_file', `${file} cannot be read: ${messageOf(cause)}`, { cause });
  }
}

/** The last lines of a text file; empty if there is none. */
export function tailOf(file: string, linesMax: number): string {
  if (!existsSync(file)) return '';
  return readFileSync(file, 'utf8').trimEnd().split('\n').slice(-linesMax).join('\n');
}
