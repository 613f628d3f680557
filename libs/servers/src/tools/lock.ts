/** One process at a time, among all of this machine: a file that names its holder. */
import { randomBytes } from 'node:crypto';
import { linkSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { mkdir } from 'node:fs/promises';
import path from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { MeshError, codeOf } from '@thermomesh/runtime';
import { identify, isAlive, type ProcessIdentity } from '../processes.ts';

export interface LockOptions {
  waitMaxMs: number;
  /** Called once, when another process holds the lock. */
  onWait?: () => void;
}

const retryIntervalMs = 50;

/**
 * Runs `work` while `file` names this process. A holder that died without a word is noticed by its pid and start time. The lock saves
 * doing the same work twice; what it guards must still come into place in one step (rename), because two processes that notice a
 * dead holder at the same instant may both get in.
 * @throws MeshError `tools.lock_timeout`, and whatever `work` throws
 */
export async function withLock<T>(file: string, options: LockOptions, work: () => Promise<T>): Promise<T> {
  await mkdir(path.dirname(file), { recursive: true });
  const self = await identify(process.pid);
  if (self === undefined) throw new MeshError('tools.lock_failed', 'this process cannot be identified');
  // A name of its own for each call: two calls of one process exclude each other too.
  const claim = `${file}.${self.pid}.${randomBytes(4).toString('hex')}`;
  const deadline = Date.now() + options.waitMaxMs;
  let told = false;
  writeFileSync(claim, JSON.stringify(self));
  try {
    while (!take(claim, file)) {
      const holder = readHolder(file);
      if (holder !== undefined && !(await isAlive(holder))) {
        rmSync(file, { force: true });
        continue;
      }
      if (Date.now() > deadline) {
        throw new MeshError('tools.lock_timeout', `process ${holder?.pid ?? '?'} holds ${file} for too long`);
      }
      if (!told) options.onWait?.();
      told = true;
      await delay(retryIntervalMs);
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

/** A hard link appears with its content in one step, or not at all. */
function take(claim: string, file: string): boolean {
  try {
    linkSync(claim, file);
    return true;
  } catch (error) {
    if (codeOf(error) === 'EEXIST') return false;
    throw error;
  }
}

/** Undefined if the lock was given back meanwhile. */
function readHolder(file: string): ProcessIdentity | undefined {
  try {
    return JSON.parse(readFileSync(file, 'utf8')) as ProcessIdentity;
  } catch (error) {
    if (codeOf(error) === 'ENOENT') return undefined;
    throw error;
  }
}
