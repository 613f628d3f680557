/** Tells which process holds a TCP port, so that a start that fails for it says what to do. */
import { readdirSync, readFileSync, readlinkSync } from 'node:fs';
import path from 'node:path';
import { codeOf, runtimeError, type MeshError } from './errors.ts';

/** The process that listens on a port. */
export interface PortHolder {
  pid: number;
  /** Name of its program, and of the script that an interpreter runs. */
  name: string;
}

/** State `LISTEN` in /proc/net/tcp. */
const listenState = '0A';
/** Programs whose first argument names what they run; arguments of others may be secrets. */
const interpreters = /^(node|nodejs|MainThread|python[\d.]*)$/;

/**
 * The process that listens on `port` at any address. Undefined if none does, if it belongs to
 * another user, or if the system has no /proc.
 */
export function portHolder(port: number): PortHolder | undefined {
  const sockets = new Set(['tcp', 'tcp6'].flatMap((table) => listeningSockets(table, port)));
  if (sockets.size === 0) return undefined;
  for (const pid of entries('/proc').filter((name) => /^\d+$/.test(name))) {
    const folder = `/proc/${pid}/fd`;
    if (entries(folder).some((fd) => sockets.has(linkOf(`${folder}/${fd}`))))
      return { pid: Number(pid), name: nameOf(pid) };
  }
  return undefined;
}

/** Names the holder of a port for people: `process 4711 (node main.ts)`, or `another process`. */
export function describePortHolder(port: number): string {
  const holder = portHolder(port);
  return holder === undefined ? 'another process' : `process ${holder.pid} (${holder.name})`;
}

/**
 * The error for people if `error` means that the port cannot be listened on; else undefined.
 * @param setting the name of the setting that gives the port
 */
export function portError(error: unknown, port: number, setting: string): MeshError | undefined {
  const cause = { cause: error };
  switch (codeOf(error)) {
    case 'EADDRINUSE':
      return runtimeError(
        'port.taken',
        `port ${port} (${setting}) is taken by ${describePortHolder(port)}: end that process, or choose another port`,
        cause,
      );
    case 'EACCES':
      return runtimeError(
        'port.not_permitted',
        `this user may not listen on port ${port} (${setting}): choose a port of 1024 or above`,
        cause,
      );
    default:
      return undefined;
  }
}

/** Links of the sockets that listen on the port, as they stand in /proc/<pid>/fd. */
function listeningSockets(table: string, port: number): string[] {
  const suffix = `:${port.toString(16).toUpperCase().padStart(4, '0')}`;
  return textOf(`/proc/net/${table}`)
    .split('\n')
    .map((line) => line.trim().split(/\s+/))
    .filter(([, local, , state]) => local?.endsWith(suffix) === true && state === listenState)
    .map((fields) => `socket:[${fields[9]}]`);
}

function nameOf(pid: string): string {
  const [program = '', ...words] = textOf(`/proc/${pid}/cmdline`).split('\0');
  const name = path.basename(program) || textOf(`/proc/${pid}/comm`).trim() || 'unknown';
  const script = words.find((word) => !word.startsWith('-'));
  if (!interpreters.test(name) || script === undefined || script === '') return name;
  return `${name} ${script.split('/').slice(-3).join('/')}`;
}

/** Names in a folder of /proc; empty if it is gone or belongs to another user. */
function entries(folder: string): string[] {
  try {
    return readdirSync(folder);
  } catch {
    return [];
  }
}

function linkOf(file: string): string {
  try {
    return readlinkSync(file);
  } catch {
    // The process has closed it, or ended.
    return '';
  }
}

function textOf(file: string): string {
  try {
    return readFileSync(file, 'utf8');
  } catch {
    return '';
  }
}
