/**
 * Unpacks Debian packages into a folder. It needs no root, starts no system service and changes
 * nothing on the system.
 */
import { execFile } from 'node:child_process';
import { createHash, randomBytes } from 'node:crypto';
import { existsSync, readdirSync, readlinkSync, rmSync, symlinkSync } from 'node:fs';
import { mkdir, mkdtemp, rename, rm } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { promisify } from 'node:util';
import { withLock } from './lock.ts';

const run = promisify(execFile);

export interface DebianOptions {
  /** Parent of the folders of unpacked packages. */
  toolsDir: string;
  /** First part of the folder's name; a hash of the packages follows. */
  name: string;
  /** The packages, and those of their dependencies that a bare system lacks. */
  packages: readonly string[];
  /** Receives one line for people: what is downloaded. */
  onNotice?: (line: string) => void;
}

const commandTimeoutMs = 300_000;
const lockWaitMaxMs = 600_000;

/**
 * Unpacks the packages unless an earlier call did.
 * @returns the folder that takes the place of `/`
 * @throws Error of `apt-get` or `dpkg-deb`: program absent, unknown package, no network
 */
export async function unpackDebian(options: DebianOptions): Promise<string> {
  const { toolsDir, name, packages, onNotice } = options;
  const key = createHash('sha256').update(packages.join(' ')).digest('hex').slice(0, 8);
  const folder = path.join(toolsDir, `${name}-${key}`);
  if (existsSync(folder)) return folder;
  const lock = { waitMaxMs: lockWaitMaxMs, onWait: () => onNotice?.(`another process unpacks ${name}`) };
  await withLock(`${folder}.lock`, lock, async () => {
    if (existsSync(folder)) return;
    onNotice?.(`unpacking Debian's ${packages[0]} into ${folder}`);
    await unpack(folder, packages);
  });
  return folder;
}

/**
 * The package and all its dependencies, direct and indirect, in this release of Debian.
 * @throws Error of `apt-cache`
 */
export async function dependenciesOf(name: string): Promise<string[]> {
  const kinds = ['recommends', 'suggests', 'conflicts', 'breaks', 'replaces', 'enhances'];
  const args = ['depends', '--recurse', ...kinds.map((kind) => `--no-${kind}`), name];
  const { stdout } = await run('apt-cache', args, {
    timeout: commandTimeoutMs,
    maxBuffer: 16 * 1024 * 1024,
  });
  return [...new Set(stdout.split('\n').filter((line) => /^[a-z0-9]/.test(line)))].sort();
}

/** Folders that an installed system finds through its alternatives. */
const linearAlgebra = ['blas', 'lapack'];

/** The value of `LD_LIBRARY_PATH` for programs in an unpacked folder. */
export function libraryPath(folder: string): string {
  const roots = [path.join(folder, 'usr', 'lib'), path.join(folder, 'lib')].filter((lib) => existsSync(lib));
  return roots
    .flatMap((lib) => [lib, ...readdirSync(lib).map((name) => path.join(lib, name))])
    .flatMap((lib) => [lib, ...linearAlgebra.map((name) => path.join(lib, name)).filter(existsSync)])
    .join(path.delimiter);
}

/** The folder is renamed into place when it is complete. */
async function unpack(folder: string, packages: readonly string[]): Promise<void> {
  const work = await mkdtemp(path.join(os.tmpdir(), 'thermomesh-apt-'));
  const building = `${folder}.${process.pid}.${randomBytes(4).toString('hex')}`;
  try {
    await download(work, packages);
    await mkdir(building, { recursive: true });
    for (const file of readdirSync(work).filter((name) => name.endsWith('.deb'))) {
      await run('dpkg-deb', ['-x', path.join(work, file), building], { timeout: commandTimeoutMs });
    }
    makeLinksRelative(building);
    await rename(building, folder).catch((error: unknown) => {
      if (!existsSync(folder)) throw error;
    });
  } finally {
    await rm(work, { recursive: true, force: true });
    await rm(building, { recursive: true, force: true });
  }
}

async function download(work: string, packages: readonly string[]): Promise<void> {
  const fetch = async () =>
    run('apt-get', ['download', ...packages], { cwd: work, timeout: commandTimeoutMs });
  try {
    await fetch();
  } catch (error) {
    // Without package lists apt-get finds no package; only root may download them.
    if (process.getuid?.() !== 0) throw error;
    await run('apt-get', ['update'], { timeout: commandTimeoutMs });
    await fetch();
  }
}

/**
 * Makes absolute links relative: packages link to paths such as `/etc/java-17-openjdk/…`, which
 * would lead out of the folder.
 */
function makeLinksRelative(folder: string): void {
  for (const entry of readdirSync(folder, { recursive: true, withFileTypes: true })) {
    if (!entry.isSymbolicLink()) continue;
    const link = path.join(entry.parentPath, entry.name);
    const target = readlinkSync(link);
    if (!path.isAbsolute(target) || !existsSync(path.join(folder, target))) continue;
    rmSync(link);
    symlinkSync(path.relative(path.dirname(link), path.join(folder, target)), link);
  }
}
