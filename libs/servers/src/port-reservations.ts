/**
 * Reservations of TCP ports among the processes of this machine. A server that stops and starts
 * again needs its port in between; another process that looks for a free port at that moment must
 * not take it. A reservation is a file named after the port that holds the id of its process.
 */
import { readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { codeOf } from '@thermomesh/runtime';
import { makeFolder, mendFolder } from './folders.ts';

/**
 * Reservations of all processes of this machine. A process with a folder of its own for temporary
 * files (TMPDIR) uses the same ports as the others, so it must see the same reservations.
 */
export const reservationsFolder = path.join(
  process.platform === 'win32' ? os.tmpdir() : '/tmp',
  'thermomesh-ports',
);
/** Every user may reserve, and only its owner may remove a reservation. */
const folderMode = 0o1777;
/** A process id may have been given to another program after this time. */
const reservedHoursMax = 24;

export interface ReserveOptions {
  /** A port that this process has reserved already is granted again: a server comes back to it. */
  again?: boolean;
  folder?: string;
}

/**
 * Reserves a port until this process ends.
 * @returns false if a living process has reserved it already. True if the folder cannot be written:
 *   reservations help, but nothing depends on them
 */
export function reservePort(
  port: number,
  { again = false, folder = reservationsFolder }: ReserveOptions = {},
): boolean {
  const file = path.join(folder, String(port));
  try {
    if (again && ownerOf(file) === process.pid) return true;
    // The umask of the process that comes first must not keep other users out.
    makeFolder(folder, folderMode);
    mendFolder(folder, folderMode);
    if (isStale(file)) return takeOver(file);
    write(file);
    return true;
  } catch (error) {
    return codeOf(error) !== 'EEXIST';
  }
}

/** Ends the reservation of a port that this process has reserved and does not use. */
export function releasePort(port: number, folder = reservationsFolder): void {
  const file = path.join(folder, String(port));
  if (ownerOf(file) === process.pid) rmSync(file, { force: true });
}

/**
 * Replaces a stale reservation. Two processes may find it stale at the same time, and the second
 * one must not remove what the first one has just written; so only one of them may look again and
 * replace it.
 * @returns false if another process is doing so, or has done so
 * @throws Error EEXIST in the first of these cases
 */
function takeOver(file: string): boolean {
  const turn = `${file}.taken-over`;
  write(turn);
  try {
    if (!isStale(file)) return false;
    rmSync(file, { force: true });
    write(file);
    return true;
  } finally {
    rmSync(turn, { force: true });
  }
}

/** @throws Error EEXIST if the file exists */
function write(file: string): void {
  writeFileSync(file, String(process.pid), { flag: 'wx', mode: 0o644 });
}

/** The process id in a reservation; undefined if there is none. */
function ownerOf(file: string): number | undefined {
  try {
    return Number(readFileSync(file, 'utf8'));
  } catch (error) {
    if (codeOf(error) === 'ENOENT') return undefined;
    throw error;
  }
}

/** True if the process of the reservation has ended, or it is too old to tell. */
function isStale(file: string): boolean {
  const owner = ownerOf(file);
  if (owner === undefined) return false;
  const modifiedAtMs = statSync(file, { throwIfNoEntry: false })?.mtimeMs ?? 0;
  return Date.now() - modifiedAtMs > reservedHoursMax * 3_600_000 || !isAlive(owner);
}

function isAlive(pid: number): boolean {
  // Another process is writing its id at this moment.
  if (!Number.isInteger(pid) || pid <= 0) return true;
  try {
    return process.kill(pid, 0);
  } catch (error) {
    return codeOf(error) === 'EPERM';
  }
}
