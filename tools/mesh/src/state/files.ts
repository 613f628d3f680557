/** Small files that other processes read while they are written. */
import { existsSync, mkdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import path from 'node:path';

/** Replaces the file in one step; only its owner may read it. */
export function writeJson(file: string, value: unknown): void {
  mkdirSync(path.dirname(file), { recursive: true });
  const building = `${file}.${process.pid}.new`;
  writeFileSync(building, `${JSON.stringify(value, undefined, 2)}\n`, { mode: 0o600 });
  renameSync(building, file);
}

/** The file's content; undefined if there is no such file. */
export function readJson<T>(file: string): T | undefined {
  if (!existsSync(file)) return undefined;
  return JSON.parse(readFileSync(file, 'utf8')) as T;
}

/** The last lines of a text file; empty if there is none. */
export function tailOf(file: string, linesMax: number): string {
  if (!existsSync(file)) return '';
  return readFileSync(file, 'utf8').trimEnd().split('\n').slice(-linesMax).join('\n');
}
