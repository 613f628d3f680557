/** The types of what the supervisor keeps running. */
import type { ProcessIdentity } from '@thermomesh/servers';
import type { ProcessRole } from '../../mesh/files/run-file.ts';

export interface ProcessExit {
  code: number | null;
  signal: NodeJS.Signals | null;
}

/** A started process. */
export interface Launched extends ProcessIdentity {
  /**
   * Settles when the process can be used; never rejects, as `exited` reports a process that ends
   * first.
   */
  ready: Promise<void>;
  exited: Promise<ProcessExit>;
  /**
   * Stops the process gracefully, or with SIGKILL after a deadline; resolves when it has ended.
   * Idempotent.
   */
  stop(): Promise<void>;
}

/** How one process of the mesh is started, as often as needed. */
export interface ProcessSpec {
  name: string;
  role: ProcessRole;
  url: string | null;
  ports: Record<string, number>;
  /** @param start counts from 1 for each supervisor */
  launch(start: number): Promise<Launched>;
  /** The file in which people find out why the process ended. */
  logFile: string;
  /** Number of failed first starts in a row after which it is given up. */
  firstStartsMax?: number;
}

/** What happens to processes, for people and for the supervisor's log. */
export type MeshEvent =
  | { event: 'process.started'; name: string; pid: number; start: number }
  | { event: 'process.ready'; name: string }
  | { event: 'process.exited'; name: string; pid: number; code: number | null; signal: NodeJS.Signals | null }
  | { event: 'process.start_failed'; name: string; reason: string }
  | { event: 'process.restart_pending'; name: string; pauseMs: number; held: boolean }
  | { event: 'process.stopped'; name: string }
  | { event: 'part.off'; part: string; reason: string }
  | { event: 'leftover.ended'; name: string; pid: number }
  | { event: 'notice'; text: string };
