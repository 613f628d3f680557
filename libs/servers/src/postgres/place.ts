/** Decides which user PostgreSQL runs as, and where that user can reach programs and data. */
import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { chown } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { serverError } from '../errors.ts';
import { makeFolder, mendFolder } from '../folders.ts';
import { findBinaries, stageBinaries, type PostgresBinaries } from './binaries.ts';

/** The user that PostgreSQL runs as; undefined means the user of this process. */
export interface RunAs {
  name: string;
  uid: number;
  gid: number;
}

/** The programs, the data folder and the user of one cluster. */
export interface PostgresPlace {
  binaries: PostgresBinaries;
  dataDir: string;
  runAs: RunAs | undefined;
  /** One line for people if data or programs are not where the caller wanted them. */
  notice: string | undefined;
}

export interface PlaceOptions {
  dataDir: string;
  /**
   * Folders for data and programs that the unprivileged user cannot reach; the first usable one
   * wins.
   */
  stagingFolders?: string[];
}

/**
 * Decides where the cluster for `dataDir` is stored. PostgreSQL refuses to run as root, so root
 * starts it as an unprivileged user. If that user cannot enter the folder of the clone (a home of
 * mode 0700), programs and data are put outside, under a name derived from `dataDir`.
 * @throws MeshError `postgres.unreachable`, `postgres.no_user`, `postgres.no_binaries`
 */
export async function choosePlace(options: PlaceOptions): Promise<PostgresPlace> {
  const wanted = path.resolve(options.dataDir);
  const binaries = await findBinaries();
  makeFolder(path.dirname(wanted));
  if (process.getuid?.() !== 0) return { binaries, dataDir: wanted, runAs: undefined, notice: undefined };

  const runAs = unprivilegedUser();
  const reachable = (folder: string) => canEnter(folder, runAs);
  const recorded = readLocation(wanted);
  if (recorded !== undefined) mendFolder(path.dirname(path.dirname(recorded)));
  const staging = options.stagingFolders ?? ['/var/lib/thermomesh', path.join(os.tmpdir(), 'thermomesh')];
  const usable = reachable(binaries.folder)
    ? binaries
    : await stageBinaries(binaries, stagingFolder(staging, runAs));
  if (recorded === undefined && reachable(path.dirname(wanted))) {
    return {
      binaries: usable,
      dataDir: wanted,
      runAs,
      notice: noticeOf(binaries, usable, wanted, wanted, runAs),
    };
  }
  if (recorded === undefined && existsSync(path.join(wanted, 'PG_VERSION'))) {
    throw serverError(
      'postgres.unreachable',
      `user ${runAs.name} can no longer enter ${path.dirname(wanted)}, where the database is: make its parents enterable (chmod o+x) or move it`,
    );
  }
  const dataDir = recorded ?? path.join(stagingFolder(staging, runAs), `data-${shortHash(wanted)}`, 'pg');
  makeFolder(path.dirname(dataDir));
  await chown(path.dirname(dataDir), runAs.uid, runAs.gid);
  writeFileSync(locationFile(wanted), `${dataDir}\n`);
  return { binaries: usable, dataDir, runAs, notice: noticeOf(binaries, usable, wanted, dataDir, runAs) };
}

/** The folder in which an earlier start put the data for `dataDir`. */
export function actualDataDir(dataDir: string): string {
  const wanted = path.resolve(dataDir);
  return readLocation(wanted) ?? wanted;
}

/**
 * True if `user` can enter `folder`. The system decides, because groups, access lists and mounts
 * matter too.
 */
export function canEnter(folder: string, user: RunAs): boolean {
  const { uid, gid } = user;
  return (
    spawnSync('/bin/sh', ['-c', 'cd "$1"', 'sh', folder], { uid, gid, cwd: '/', stdio: 'ignore' }).status ===
    0
  );
}

/** The user `postgres`, or the system's unprivileged user if there is no such user. */
export function unprivilegedUser(passwd = readFileSync('/etc/passwd', 'utf8')): RunAs {
  const users = passwd.split('\n').map((line) => line.split(':'));
  for (const name of ['postgres', 'nobody']) {
    const fields = users.find((user) => user[0] === name);
    if (fields !== undefined) return { name, uid: Number(fields[2]), gid: Number(fields[3]) };
  }
  throw serverError(
    'postgres.no_user',
    'PostgreSQL refuses to run as root and this machine has neither a user "postgres" nor "nobody": start the mesh as an ordinary user',
  );
}

function stagingFolder(candidates: string[], runAs: RunAs): string {
  for (const folder of candidates) {
    try {
      makeFolder(folder);
      mendFolder(folder);
    } catch {
      // It is on a file system that cannot be written, for example.
      continue;
    }
    if (canEnter(folder, runAs)) return folder;
  }
  throw serverError('postgres.unreachable', `user ${runAs.name} can enter none of ${candidates.join(', ')}`);
}

function noticeOf(
  original: PostgresBinaries,
  used: PostgresBinaries,
  wanted: string,
  dataDir: string,
  runAs: RunAs,
): string | undefined {
  const moved: string[] = [];
  if (used.folder !== original.folder) moved.push(`its programs are in ${used.folder}`);
  if (dataDir !== wanted) moved.push(`its data are in ${dataDir}`);
  if (moved.length === 0) return undefined;
  return `PostgreSQL runs as user ${runAs.name}, who cannot enter ${path.dirname(wanted)}: ${moved.join(' and ')}`;
}

function locationFile(wanted: string): string {
  return `${wanted}.location`;
}

function readLocation(wanted: string): string | undefined {
  const file = locationFile(wanted);
  return existsSync(file) ? readFileSync(file, 'utf8').trim() : undefined;
}

function shortHash(text: string): string {
  return createHash('sha256').update(text).digest('hex').slice(0, 12);
}
