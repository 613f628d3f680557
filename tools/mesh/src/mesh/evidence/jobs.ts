/** What callers have seen of their image jobs, kept for `mesh verify` (I4, I5). */
import type { ImageJob } from '@thermomesh/contracts';
import type { Mesh } from '../mesh.ts';
import { openEvidence, readEvidence } from './files.ts';

/** A job as its caller has seen it. */
export interface JobRecord {
  id: string;
  /** Time of the 201, Unix ms. */
  acceptedAtMs: number;
  /** Its final state; undefined if the caller has not seen it. */
  over: { phase: ImageJob['phase']; reason: string | null } | undefined;
  /**
   * Whether the result had the bytes of a single process; undefined if the caller did not compare
   * them.
   */
  identical: boolean | undefined;
}

export interface JobKeeper {
  accepted(id: string): void;
  over(job: Pick<ImageJob, 'id' | 'phase' | 'reason'>): void;
  compared(id: string, identical: boolean): void;
  close(): void;
}

/** A line of the file, after the header. */
type Line =
  | { event: 'accepted'; id: string; atMs: number }
  | { event: 'over'; id: string; phase: ImageJob['phase']; reason: string | null }
  | { event: 'compared'; id: string; identical: boolean };

/**
 * Begins the record of a command.
 * @param by name of the command
 */
export function keepJobs(mesh: Mesh, by: string): JobKeeper {
  const writer = openEvidence(mesh, 'jobs', { by });
  const note = (line: Line) => writer.note(line);
  return {
    accepted: (id) => note({ event: 'accepted', id, atMs: Date.now() }),
    over: ({ id, phase, reason }) => note({ event: 'over', id, phase, reason }),
    compared: (id, identical) => note({ event: 'compared', id, identical }),
    close: () => writer.close(),
  };
}

/**
 * Reads the records of all commands.
 * @throws MeshError `evidence.damaged`
 */
export function readJobs(mesh: Mesh): JobRecord[] {
  const jobs = new Map<string, JobRecord>();
  for (const [, ...lines] of readEvidence(mesh, 'jobs')) {
    for (const line of lines as unknown as Line[]) {
      if (line.event === 'accepted')
        jobs.set(line.id, { id: line.id, acceptedAtMs: line.atMs, over: undefined, identical: undefined });
      const job = jobs.get(line.id);
      if (job === undefined) continue;
      if (line.event === 'over') job.over = { phase: line.phase, reason: line.reason };
      if (line.event === 'compared') job.identical = line.identical;
    }
  }
  return [...jobs.values()];
}
