/** The repository that the checks look at. */
import { execFileSync } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import path from 'node:path';

export const repository = path.resolve(import.meta.dirname, '../../..');

/** Every file that is tracked or would be, relative to the repository, with `/`. */
export function trackedFiles(): string[] {
  return execFileSync('git', ['ls-files', '--cached', '--others', '--exclude-standard'], {
    cwd: repository,
    encoding: 'utf8',
  })
    .split('\n')
    .filter((file) => file !== '' && existsSync(path.join(repository, file)));
}

/** The text of one file of the repository. */
export function readText(file: string): string {
  return readFileSync(path.join(repository, file), 'utf8');
}
