/** Finds the server that runs on a data folder, by its `postmaster.pid`. */
import { existsSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { commandLine, identify, type ProcessIdentity } from '../processes.ts';
import { actualDataDir } from './place.ts';

/** The first lines of a `postmaster.pid` (src/include/utils/pidfile.h). */
export interface PostmasterFile {
  pid: number;
  dataDir: string;
  port: number;
}

/** Parses the text of the file; undefined if it is cut short. */
export function parsePostmasterFile(text: string): PostmasterFile | undefined {
  const [pid, dataDir, , port] = text.split('\n');
  if (pid === undefined || dataDir === undefined || port === undefined || !/^-?\d+$/.test(pid))
    return undefined;
  return { pid: Math.abs(Number(pid)), dataDir, port: Number(port) };
}

/** A server that runs on a data folder. */
export interface RunningPostgres extends ProcessIdentity {
  port: number;
}

/**
 * The server that runs on `dataDir`, including a server that a killed supervisor left running;
 * undefined if none runs. The system may have given the pid of a dead server to another process, so
 * the command line must be that of a postmaster on this folder.
 */
export async function findRunningPostgres(dataDir: string): Promise<RunningPostgres | undefined> {
  const folder = actualDataDir(dataDir);
  const file = path.join(folder, 'postmaster.pid');
  if (!existsSync(file)) return undefined;
  const entry = parsePostmasterFile(readFileSync(file, 'utf8'));
  if (entry === undefined) return undefined;
  const command = await commandLine(entry.pid);
  if (command === undefined || !isPostmasterOf(command, folder)) return undefined;
  const identity = await identify(entry.pid);
  return identity === undefined ? undefined : { ...identity, port: entry.port };
}

/** True if the command line is that of a postmaster that was started on `dataDir`. */
export function isPostmasterOf(command: string, dataDir: string): boolean {
  const program = command.split(' -D ')[0] ?? '';
  return /postgres(\.exe)?$/.test(program) && command.includes(` -D ${dataDir} `);
}
