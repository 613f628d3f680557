/**
 * The seam between the tools and what runs the processes of a mesh: this machine's supervisor, or a
 * container engine.
 */
import { isAlive, signalProcess, type ProcessIdentity } from '@thermomesh/servers';
import { meshError } from '../errors.ts';
import type { Layout } from './files/layout.ts';
import { livingProcess, livingSupervisor, type ProcessRecord, type ProcessRole } from './files/run-file.ts';
import { whileFrozen, type FreezeOptions } from './freeze.ts';

/** A process on which tools act, under its name in the mesh. */
export interface HostedProcess {
  name: string;
  identity: ProcessIdentity;
}

export interface ProcessHost {
  /** True if a supervisor restarts processes that die. */
  supervised(): Promise<boolean>;
  /** The identity of a recorded process, if it is alive. */
  living(record: ProcessRecord): Promise<ProcessIdentity | undefined>;
  /** True if the process with this very identity is still alive. */
  isAlive(process: HostedProcess): Promise<boolean>;
  /**
   * Sends a signal.
   * @returns false if the process is no longer alive
   */
  signal(process: HostedProcess, signal: NodeJS.Signals): Promise<boolean>;
  /** Runs `work` while the process is completely frozen. */
  whileFrozen<T>(process: HostedProcess, options: FreezeOptions, work: () => Promise<T>): Promise<T>;
  /**
   * Runs `work` while the process is disconnected from these networks.
   * @throws MeshError `usage` if there are no such networks
   */
  whileCutOff<T>(process: HostedProcess, networks: readonly string[], work: () => Promise<T>): Promise<T>;
  /**
   * The networks that {@link whileCutOff} accepts; empty if processes have no networks of their
   * own.
   */
  readonly networks: readonly string[];
  /** Whether the process is ready; undefined if the process itself has to be asked. */
  readiness(record: ProcessRecord): boolean | undefined;
  /**
   * Ensures that the logs of the processes are in the files of the layout.
   * @param since ISO 8601
   * @param role only processes of this role
   */
  bringLogs(since: string, role?: ProcessRole): Promise<void>;
}

/** The host of processes that `mesh up` started on this machine. */
export function localHost(layout: Layout): ProcessHost {
  return {
    supervised: async () => (await livingSupervisor(layout)) !== undefined,
    living: livingProcess,
    isAlive: async ({ identity }) => isAlive(identity),
    signal: async ({ identity }, signal) => signalProcess(identity, signal),
    whileFrozen: async ({ identity }, options, work) => whileFrozen(identity, options, work),
    async whileCutOff() {
      throw meshError(
        'usage',
        'processes of the local mesh share its network: cut their links instead (--cut)',
      );
    },
    networks: [],
    readiness: () => undefined,
    bringLogs: async () => undefined,
  };
}
