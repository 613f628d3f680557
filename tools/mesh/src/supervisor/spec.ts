/** What the supervisor keeps alive. */
import type { ProcessIdentity } from '@thermomesh/servers';
import type { ProcessRole } from '../state/run-file.ts';

export interface ProcessExit {
  code: number | null;
  signal: NodeJS.Signals | null;
}

/** A process that was started. */
export interface Launched extends ProcessIdentity {
  /** Settles when it can be used; never rejects: a process that ends first is reported by `exited`. */
  ready: Promise<void>;
  exited: Promise<ProcessExit>;
  /** Ends it in order, by force after a deadline; returns when it has ended. Idempotent. */
  stop(): Promise<void>;
}

/** How one process of the mesh is started, any number of times. */
export interface ProcessSpec {
  name: string;
  role: ProcessRole;
  url: string | null;
  ports: Record<string, number>;
  /** @param start counts from 1 in the life of the supervisor */
  launch(start: number): Promise<Launched>;
  /** Where people find out why it ended. */
  logFile: string;
  /** First starts that may fail in a row before it is given up; some if left out. */
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
