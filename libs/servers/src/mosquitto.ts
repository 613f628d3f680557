/** `mosquitto_pub` and `mosquitto_sub`, the reference clients: from PATH, else from Debian's packages, unpacked into a folder. */
import { execFile } from 'node:child_process';
import { existsSync, readdirSync } from 'node:fs';
import { access, constants, mkdir, mkdtemp, rename, rm } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { promisify } from 'node:util';
import { messageOf } from '@thermomesh/runtime';

const run = promisify(execFile);

/** The clients, and the environment that they need. */
export interface MosquittoClients {
  pub: string;
  sub: string;
  env: Record<string, string>;
  /** For people: where they come from. */
  origin: string;
}

/** The packages and the libraries that the clients need and a bare system lacks. */
const packages = ['mosquitto-clients', 'libmosquitto1', 'libcjson1'];
const commandTimeoutMs = 120_000;

/**
 * Finds the clients on the search path, or unpacks them below `toolsDir` (no root, no system service).
 * @param searchPath as in `PATH`
 * @returns the clients, or `{ missing }`: one line that says why they cannot be had and what to do
 */
export async function findMosquittoClients(
  toolsDir: string,
  searchPath: string,
): Promise<MosquittoClients | { missing: string }> {
  const pub = await onPath('mosquitto_pub', searchPath);
  const sub = await onPath('mosquitto_sub', searchPath);
  if (pub !== undefined && sub !== undefined) return { pub, sub, env: {}, origin: path.dirname(pub) };
  const folder = path.join(toolsDir, 'mosquitto-clients');
  try {
    if (!existsSync(folder)) await unpack(folder);
    return clientsIn(folder);
  } catch (error) {
    const why = messageOf(error).split('\n')[0];
    return {
      missing: `mosquitto_pub and mosquitto_sub are absent (${why}): install the package "mosquitto-clients"`,
    };
  }
}

async function onPath(program: string, searchPath: string): Promise<string | undefined> {
  for (const folder of searchPath.split(path.delimiter)) {
    const file = path.join(folder, program);
    const usable = await access(file, constants.X_OK).then(
      () => true,
      () => false,
    );
    if (usable) return file;
  }
  return undefined;
}

/** `apt-get download` needs a folder to write to, as its own user too; the result moves into place in one step. */
async function unpack(folder: string): Promise<void> {
  await mkdir(path.dirname(folder), { recursive: true });
  const work = await mkdtemp(path.join(os.tmpdir(), 'thermomesh-apt-'));
  const building = `${folder}.${process.pid}`;
  try {
    await download(work);
    await mkdir(building, { recursive: true });
    for (const file of readdirSync(work).filter((name) => name.endsWith('.deb'))) {
      await run('dpkg-deb', ['-x', path.join(work, file), building], { timeout: commandTimeoutMs });
    }
    await rename(building, folder);
  } finally {
    await rm(work, { recursive: true, force: true });
    await rm(building, { recursive: true, force: true });
  }
}

async function download(work: string): Promise<void> {
  const fetch = async () =>
    run('apt-get', ['download', ...packages], { cwd: work, timeout: commandTimeoutMs });
  try {
    await fetch();
  } catch (error) {
    // Without package lists nothing can be located; only root may fetch them.
    if (process.getuid?.() !== 0) throw error;
    await run('apt-get', ['update'], { timeout: commandTimeoutMs });
    await fetch();
  }
}

function clientsIn(folder: string): MosquittoClients {
  const lib = path.join(folder, 'usr', 'lib');
  const libraryFolders = [lib, ...readdirSync(lib).map((name) => path.join(lib, name))];
  return {
    pub: path.join(folder, 'usr', 'bin', 'mosquitto_pub'),
    sub: path.join(folder, 'usr', 'bin', 'mosquitto_sub'),
    env: { LD_LIBRARY_PATH: libraryFolders.join(path.delimiter) },
    origin: folder,
  };
}
