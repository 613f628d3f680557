/** Finds the commit before the present one, from which the upgrade is tested. */
import { execFile } from 'node:child_process';
import { promisify } from 'node:util';

const run = promisify(execFile);

/**
 * Finds the commit before the present one.
 * @param folder a folder of the repository
 * @param from a commit to take instead, such as that of the version that is in use
 * @returns its hash, or the reason why there is none to upgrade from
 * @throws Error that says what to do, if the commit exists but is not here, or `from` is unknown
 */
export async function findPreviousCommit(
  folder: string,
  from?: string,
): Promise<{ commit: string } | { none: string }> {
  const git = async (...words: string[]) =>
    run('git', ['-C', folder, ...words]).then(
      ({ stdout }) => stdout.trim(),
      () => undefined,
    );
  if ((await git('rev-parse', '--verify', '--quiet', 'HEAD')) === undefined)
    throw new Error('the upgrade cannot be tested, because this folder is no clone: use `git clone`');
  const commit = await git('rev-parse', '--verify', '--quiet', `${from ?? 'HEAD~1'}^{commit}`);
  if (commit === undefined && from !== undefined) throw new Error(`there is no commit ${from} here`);
  if (commit === undefined) {
    if ((await git('rev-parse', '--is-shallow-repository')) !== 'true')
      return { none: 'the first commit has none before it' };
    throw new Error(
      'the upgrade cannot be tested, because the previous commit is missing in this shallow clone: ' +
        'fetch it with `git fetch --unshallow`',
    );
  }
  if ((await git('cat-file', '-e', `${commit}:docker-compose.yml`)) === undefined)
    return { none: 'the previous commit has no containers' };
  return { commit };
}
