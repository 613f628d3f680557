/**
 * `run.json` lists the processes that a supervisor has started. It is written before they could be
 * needed to end them.
 */
import { rmSync, writeFileSync } from 'node:fs';
import { identify, isAlive, type ProcessIdentity } from '@thermomesh/servers';
import type { ElectionStrategy } from '../../config.ts';
import { meshError } from '../../errors.ts';
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

/** One process of the mesh as its supervisor sees it. */
export interface ProcessRecord {
  name: string;
  role: ProcessRole;
  /** Null while the process is down. */
  pid: number | null;
  startTime: string | null;
  url: string | null;
  ports: Record<string, number>;
  /** True if the process has reported that it is ready; `mesh status` asks it again. */
  ready: boolean;
  restarts: number;
}

export interface RunFile {
  name: string;
  state: 'starting' | 'running' | 'stopping' | 'stopped';
  supervisor: ProcessIdentity;
  mqttUrl: string;
  httpUrl: string;
  /** It contains the password: only the owner may read the file. */
  databaseUrl: string | null;
  /** It contains the password; null without payments, or if Redis is not available. */
  redisUrl: string | null;
  /**
   * Null if ZooKeeper is off or not available; likewise for Kafka, also until it serves. Earlier
   * versions had neither.
   */
  zookeeperHosts?: string | null;
  kafkaBrokers?: string | null;
  /** Election strategy of the nodes; earlier versions knew only Bully. */
  election?: ElectionStrategy;
  processes: ProcessRecord[];
}

export function readRunFile(layout: Layout): RunFile | undefined {
  return readJson<RunFile>(layout.runFile);
}

export function writeRunFile(layout: Layout, run: RunFile): void {
  writeJson(layout.runFile, run);
}

/** The identity of a recorded process, if it is alive. */
export async function livingProcess(record: ProcessRecord): Promise<ProcessIdentity | undefined> {
  if (record.pid === null || record.startTime === null) return undefined;
  const identity = { pid: record.pid, startTime: record.startTime };
  return (await isAlive(identity)) ? identity : undefined;
}

/** The supervisor of the mesh, if it is alive. */
export async function livingSupervisor(layout: Layout): Promise<ProcessIdentity | undefined> {
  const holder = readJson<ProcessIdentity>(layout.lockFile);
  return holder !== undefined && (await isAlive(holder)) ? holder : undefined;
}

/**
 * Makes this process the mesh's supervisor; it takes over the lock of a killed one.
 * @returns a function that releases the lock
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
      throw meshError(
        'mesh.already_running',
        `the mesh "${name}" is already up (supervisor ${holder.pid}): "mesh status --name ${name}" shows it, "mesh down --name ${name}" stops it`,
      );
    }
    rmSync(layout.lockFile, { force: true });
  }
}
