/** `run.json`: which processes a supervisor has started, written before anybody could need it to end them. */
import { rmSync, writeFileSync } from 'node:fs';
import { identify, isAlive, type ProcessIdentity } from '@thermomesh/servers';
import { MeshError } from '@thermomesh/runtime';
import { readJson, writeJson } from './files.ts';
import type { Layout } from './layout.ts';

export type ProcessRole =
  | 'postgres'
  | 'redis'
  | 'zookeeper'
  | 'kafka'
  | 'links'
  | 'card-processor'
  | 'billing'
  | 'gateway'
  | 'analytics'
  | 'equalizer'
  | 'fleet';

export type ElectionStrategy = 'bully' | 'zookeeper';

/** One process of the mesh as its supervisor sees it. */
export interface ProcessRecord {
  name: string;
  role: ProcessRole;
  /** Null while it is down. */
  pid: number | null;
  startTime: string | null;
  url: string | null;
  ports: Record<string, number>;
  /** It has said so; `mesh status` asks it again. */
  ready: boolean;
  restarts: number;
}

export interface RunFile {
  name: string;
  state: 'starting' | 'running' | 'stopping' | 'stopped';
  supervisor: ProcessIdentity;
  mqttUrl: string;
  httpUrl: string;
  /** With the password: the file is its owner's alone. */
  databaseUrl: string | null;
  /** With the password; null if payments are off or Redis cannot be had. */
  redisUrl: string | null;
  /** Null if it is off or cannot be had; the same for Kafka, and until that serves. Earlier versions knew neither. */
  zookeeperHosts?: string | null;
  kafkaBrokers?: string | null;
  /** How the nodes elect; earlier versions only knew Bully. */
  election?: ElectionStrategy;
  processes: ProcessRecord[];
}

export function readRunFile(layout: Layout): RunFile | undefined {
  return readJson<RunFile>(layout.runFile);
}

export function writeRunFile(layout: Layout, run: RunFile): void {
  writeJson(layout.runFile, run);
}

/** The identity of a recorded process that lives now. */
export async function livingProcess(record: ProcessRecord): Promise<ProcessIdentity | undefined> {
  if (record.pid === null || record.startTime === null) return undefined;
  const identity = { pid: record.pid, startTime: record.startTime };
  return (await isAlive(identity)) ? identity : undefined;
}

/** The supervisor of the mesh, if one lives. */
export async function livingSupervisor(layout: Layout): Promise<ProcessIdentity | undefined> {
  const holder = readJson<ProcessIdentity>(layout.lockFile);
  return holder !== undefined && (await isAlive(holder)) ? holder : undefined;
}

/**
 * Makes this process the mesh's supervisor; the lock of a killed one is taken over.
 * @returns gives the lock back
 * @throws MeshError `mesh.already_running`
 */
export async function lockSupervisor(layout: Layout, name: string): Promise<() => void> {
  const own = await identify(process.pid);
  for (;;) {
    try {
      writeFileSync(layout.lockFile, JSON.stringify(own), { flag: 'wx', mode: 0o600 });
      return () => rmSync(layout.lockFile, { force: true });
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error;
    }
    const holder = await livingSupervisor(layout);
    if (holder !== undefined) {
      throw new MeshError(
        'mesh.already_running',
        `the mesh "${name}" is already up (supervisor ${holder.pid}): "mesh status --name ${name}" shows it, "mesh down --name ${name}" ends it`,
      );
    }
    rmSync(layout.lockFile, { force: true });
  }
}
