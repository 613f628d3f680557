import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { after, it } from 'node:test';
import { pathToFileURL } from 'node:url';
import { findPreviousCommit } from './previous-commit.ts';

const work = mkdtempSync(path.join(os.tmpdir(), 'thermomesh-git-'));
after(() => rmSync(work, { recursive: true, force: true }));
const settings = [
  ...['-c', 'user.name=test', '-c', 'user.email=test@example.invalid'],
  ...['-c', 'init.defaultBranch=main', '-c', 'commit.gpgsign=false'],
];
const git = (folder: string, ...words: string[]) =>
  execFileSync('git', ['-C', folder, ...settings, ...words], { encoding: 'utf8' }).trim();

function repository(name: string): string {
  const folder = path.join(work, name);
  git(work, 'init', '--quiet', folder);
  return folder;
}

/** Commits one file. @returns the hash */
function commit(folder: string, file: string): string {
  writeFileSync(path.join(folder, file), file);
  git(folder, 'add', '--all');
  git(folder, 'commit', '--quiet', '--message', file);
  return git(folder, 'rev-parse', 'HEAD');
}

it('a shallow clone fails the upgrade, and the error says how to fetch the rest', async () => {
  const whole = repository('whole');
  const first = commit(whole, 'docker-compose.yml');
  commit(whole, 'second');
  assert.deepEqual(await findPreviousCommit(whole), { commit: first });
  const shallow = path.join(work, 'shallow');
  git(work, 'clone', '--quiet', '--depth', '1', pathToFileURL(whole).href, shallow);
  await assert.rejects(findPreviousCommit(shallow), /shallow clone: fetch it with `git fetch --unshallow`$/);
  git(shallow, 'fetch', '--quiet', '--unshallow');
  assert.deepEqual(await findPreviousCommit(shallow), { commit: first });
});

it('the first commit, and one after a commit without containers, have no upgrade', async () => {
  const young = repository('young');
  commit(young, 'first');
  assert.deepEqual(await findPreviousCommit(young), { none: 'the first commit has none before it' });
  commit(young, 'docker-compose.yml');
  assert.deepEqual(await findPreviousCommit(young), { none: 'the previous commit has no containers' });
});

it('the upgrade may begin at any commit that is named, and at no other', async () => {
  const named = repository('named');
  const first = commit(named, 'docker-compose.yml');
  commit(named, 'second');
  commit(named, 'third');
  assert.deepEqual(await findPreviousCommit(named, 'HEAD~2'), { commit: first });
  await assert.rejects(findPreviousCommit(named, 'v9'), { message: 'there is no commit v9 here' });
});

it('a folder that is no clone fails the upgrade with a clear error', async () => {
  await assert.rejects(findPreviousCommit(work), /this folder is no clone/);
});
