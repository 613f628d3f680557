/** Creates new data folders. */
import { spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { chown, mkdir, rename, rm, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { serverError } from '../errors.ts';
import type { PostgresPlace } from './place.ts';

/** The superuser of a cluster of the mesh, who owns everything in it. */
export const postgresUser = 'thermomesh';
/** The database that the mesh uses. */
export const postgresDatabase = 'thermomesh';

/**
 * The password of the superuser: random, made at the first start and kept in a file that only its
 * owner may read.
 * @throws MeshError `postgres.password_lost` if there is a database but no password
 */
export function clusterPassword(file: string, place: PostgresPlace): string {
  if (existsSync(file)) return readFileSync(file, 'utf8').trim();
  if (isInitialised(place)) {
    throw serverError(
      'postgres.password_lost',
      `${place.dataDir} contains a database, but its password file ${file} is gone`,
    );
  }
  const password = randomBytes(24).toString('base64url');
  writeFileSync(file, `${password}\n`, { mode: 0o600 });
  return password;
}

/** True if the data folder contains a complete cluster. */
export function isInitialised(place: PostgresPlace): boolean {
  return existsSync(path.join(place.dataDir, 'PG_VERSION'));
}

/**
 * Makes the cluster and its database. It is built in a folder beside and renamed at the end, so
 * that a start that is killed half-way leaves nothing that looks like a cluster.
 * @param durable false skips the fsync of initdb, for data that no test reads after a power loss
 * @throws MeshError `postgres.init_failed`
 */
export async function initialise(place: PostgresPlace, password: string, durable: boolean): Promise<void> {
  const building = `${place.dataDir}.new`;
  const passwordFile = `${place.dataDir}.initial-password`;
  await rm(building, { recursive: true, force: true });
  await rm(passwordFile, { force: true });
  await writeFile(passwordFile, `${password}\n`, { mode: 0o600 });
  try {
    await makeFolder(building, place);
    if (place.runAs !== undefined) await chown(passwordFile, place.runAs.uid, place.runAs.gid);
    const options = ['--auth=scram-sha-256', '--encoding=UTF8', '--no-locale', '--no-instructions'];
    const initdb = [
      `--pgdata=${building}`,
      `--username=${postgresUser}`,
      `--pwfile=${passwordFile}`,
      ...options,
    ];
    await runProgram(place, place.binaries.initdb, durable ? initdb : [...initdb, '--no-sync'], '');
    const single = ['--single', '-D', building, 'postgres'];
    await runProgram(place, place.binaries.postgres, single, `CREATE DATABASE ${postgresDatabase}\n`);
  } finally {
    await rm(passwordFile, { force: true });
  }
  await rename(building, place.dataDir);
}

async function makeFolder(folder: string, place: PostgresPlace): Promise<void> {
  await mkdir(folder, { recursive: true, mode: 0o700 });
  if (place.runAs !== undefined) await chown(folder, place.runAs.uid, place.runAs.gid);
}

/** The user, folder and environment with which the programs of PostgreSQL are started. */
export function spawnIdentity(place: PostgresPlace): {
  uid?: number;
  gid?: number;
  cwd: string;
  env: NodeJS.ProcessEnv;
} {
  const identity = place.runAs === undefined ? {} : { uid: place.runAs.uid, gid: place.runAs.gid };
  // A small environment: the caller's PGPORT, PGDATA and the like must not reach the server.
  return { ...identity, cwd: place.binaries.folder, env: { PATH: '/usr/bin:/bin', LC_ALL: 'C', TZ: 'UTC' } };
}

async function runProgram(
  place: PostgresPlace,
  program: string,
  args: string[],
  input: string,
): Promise<void> {
  const child = spawn(program, args, { ...spawnIdentity(place), stdio: ['pipe', 'pipe', 'pipe'] });
  let output = '';
  child.stdout.on('data', (bytes: Buffer) => (output += bytes.toString()));
  child.stderr.on('data', (bytes: Buffer) => (output += bytes.toString()));
  // If the program ends before it reads its input, its exit code decides.
  child.stdin.on('error', () => undefined);
  child.stdin.end(input);
  const code = await new Promise<number | null>((resolve, reject) => {
    child.once('error', reject);
    child.once('close', resolve);
  });
  if (code !== 0 || /^(FATAL|ERROR|PANIC)/m.test(output)) {
    throw serverError(
      'postgres.init_failed',
      `${path.basename(program)} failed (exit ${code}): ${output.trim()}`,
    );
  }
}
