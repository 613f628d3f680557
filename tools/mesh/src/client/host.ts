/** Who runs the processes of a mesh, as far as its tools must know: this machine's supervisor, or a container engine. */
import { isAlive, signalProcess, type ProcessIdentity } from '@thermomesh/servers';
import { MeshError } from '@thermomesh/runtime';
import { whileFrozen, type FreezeOptions } from '../chaos/freeze.ts';
import type { Layout } from '../state/layout.ts';
import { livingProcess, livingSupervisor, type ProcessRecord, type ProcessRole } from '../state/run-file.ts';

/** A process that tools act upon, under the name that it has in the mesh. */
export interface HostedProcess {
  name: string;
  identity: ProcessIdentity;
}

export interface ProcessHost {
  /** Somebody is there who starts again what dies. */
  supervised(): Promise<boolean>;
  /** The identity of a recorded process that lives now. */
  living(record: ProcessRecord): Promise<ProcessIdentity | undefined>;
  /** Whether that very life of it goes on. */
  isAlive(process: HostedProcess): Promise<boolean>;
  /** Sends a signal to it. @returns false if it no longer lives */
  signal(process: HostedProcess, signal: NodeJS.Signals): Promise<boolean>;
  /** Nothing of it goes on until the work is over. */
  whileFrozen<T>(process: HostedProcess, options: FreezeOptions, work: () => Promise<T>): Promise<T>;
  /** It is on none of these networks until the work is over. @throws MeshError `usage` if there are no such networks */
  whileCutOff<T>(process: HostedProcess, networks: readonly string[], work: () => Promise<T>): Promise<T>;
  /** What {@link whileCutOff} takes; empty if processes are on no network of their own. */
  readonly networks: readonly string[];
  /** Whether it is ready, if its host knows better than a question to the process. */
  readiness(record: ProcessRecord): boolean | undefined;
  /**
   * Sees to it that the logs of the processes stand in the layout's files.
   * @param since ISO 8601
   * @param role of one kind of processes alone
   */
  bringLogs(since: string, role?: ProcessRole): Promise<void>;
}

/** Processes of this machine, started by `mesh up`. */
export function localHost(layout: Layout): ProcessHost {
  return {
    supervised: async () => (await livingSupervisor(layout)) !== undefined,
    living: livingProcess,
    isAlive: async ({ identity }) => isAlive(identity),
    signal: async ({ identity }, signal) => signalProcess(identity, signal),
    whileFrozen: async ({ identity }, options, work) => whileFrozen(identity, options, work),
    async whileCutOff() {
      throw new MeshError(
        'usage',
        'processes of the local mesh share its network: cut their links instead (--cut)',
      );
    },
    networks: [],
    readiness: () => undefined,
    bringLogs: async () => undefined,
  };
}
