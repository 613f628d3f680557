/** A lock between the processes of this machine: a file that names its holder. */
import { randomBytes } from 'node:crypto';
import { linkSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { mkdir } from 'node:fs/promises';
import path from 'node:path';
import { codeOf, sleep } from '@thermomesh/runtime';
import { serverError } from '../errors.ts';
import { identify, isAlive, type ProcessIdentity } from '../processes.ts';

export interface LockOptions {
  waitMaxMs: number;
  /** Called once, when another process holds the lock. */
  onWait?: () => void;
}

const retryIntervalMs = 50;

/**
 * Runs `work` while `file` names this process as the holder. A dead holder is recognised by its pid
 * and start time. The lock saves doing the same work twice, but it is not exclusive: two processes
 * that notice a dead holder at the same instant may both enter. The result of `work` must therefore
 * be put into place in one step (rename).
 * @throws MeshError `tools.lock_timeout`, and every error of `work`
 */
export async function withLock<T>(file: string, options: LockOptions, work: () => Promise<T>): Promise<T> {
  await mkdir(path.dirname(file), { recursive: true });
  const self = await identify(process.pid);
  if (self === undefined) throw serverError('tools.lock_failed', 'this process cannot be identified');
  // Each call has a claim of its own: two calls in one process exclude each other too.
  const claim = `${file}.${self.pid}.${randomBytes(4).toString('hex')}`;
  const deadline = Date.now() + options.waitMaxMs;
  let noticed = false;
  writeFileSync(claim, JSON.stringify(self));
  try {
    while (!take(claim, file)) {
      const holder = readHolder(file);
      if (holder !== undefined && !(await isAlive(holder))) {
        rmSync(file, { force: true });
        continue;
      }
      if (Date.now() > deadline) {
        throw serverError('tools.lock_timeout', `process ${holder?.pid ?? '?'} holds ${file} for too long`);
      }
      if (!noticed) options.onWait?.();
      noticed = true;
      await sleep(retryIntervalMs);
    }
  } finally {
    rmSync(claim, { force: true });
  }
  try {
    return await work();
  } finally {
    rmSync(file, { force: true });
  }
}

/** Takes the lock with a hard link, which appears with its content in one step or not at all. */
function take(claim: string, file: string): boolean {
  try {
    linkSync(claim, file);
    return true;
  } catch (error) {
    if (codeOf(error) === 'EEXIST') return false;
    throw error;
  }
}

/** Undefined if the lock has been released in the meantime. */
function readHolder(file: string): ProcessIdentity | undefined {
  try {
    return JSON.parse(readFileSync(file, 'utf8')) as ProcessIdentity;
  } catch (error) {
    if (codeOf(error) === 'ENOENT') return undefined;
    throw error;
  }
}
