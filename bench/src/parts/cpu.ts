/** Reads CPU times from /proc. A system without /proc has no CPU times in its report. */
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { elapsedUs, parseBusyUs, parseSchedstatUs, type CpuSample, type CpuTimes } from '../core/cpu.ts';

export const hasProc = existsSync('/proc/self/schedstat') && existsSync('/proc/stat');

/** Name in the report → a function that returns the ids of its processes now. */
export type Watched = Record<string, () => number[]>;

export interface CpuUse {
  /** CPU times by name; empty where the system reports none. */
  times: CpuTimes;
  /** CPUs that were busy with other work on this machine, on average. */
  othersCores: number | null;
}

/** Starts to watch; the function that it returns reports the use since then. */
export function watchCpu(watched: Watched): () => CpuUse {
  if (!hasProc) return () => ({ times: {}, othersCores: null });
  const startedAt = performance.now();
  const before = sampleAll(watched);
  const busyBefore = parseBusyUs(readFileSync('/proc/stat', 'utf8'));
  return () => {
    const after = sampleAll(watched);
    const busy = parseBusyUs(readFileSync('/proc/stat', 'utf8')) - busyBefore;
    const elapsed = (performance.now() - startedAt) * 1000;
    const times = Object.fromEntries(
      Object.keys(watched).map((name) => [
        name,
        elapsedUs(before[name] ?? new Map(), after[name] ?? new Map()),
      ]),
    );
    const ours = Object.values(times).reduce((sum, us) => sum + us, 0);
    return { times, othersCores: Math.max(0, (busy - ours) / elapsed) };
  };
}

function sampleAll(watched: Watched): Record<string, CpuSample> {
  return Object.fromEntries(Object.entries(watched).map(([name, pids]) => [name, sample(pids())]));
}

function sample(pids: readonly number[]): CpuSample {
  const times = new Map<number, number>();
  for (const pid of pids) {
    for (const tid of listed(`/proc/${pid}/task`)) {
      const text = textOf(`/proc/${pid}/task/${tid}/schedstat`);
      if (text !== undefined) times.set(tid, parseSchedstatUs(text));
    }
  }
  return times;
}

/** A process and its children (PostgreSQL: the postmaster and its backends). */
export function familyOf(pid: number): number[] {
  const children = textOf(`/proc/${pid}/task/${pid}/children`)?.trim() ?? '';
  return [pid, ...(children === '' ? [] : children.split(' ').map(Number))];
}

function listed(folder: string): number[] {
  try {
    return readdirSync(folder).map(Number);
  } catch {
    // The process has ended meanwhile: it has no threads any more.
    return [];
  }
}

function textOf(file: string): string | undefined {
  try {
    return readFileSync(file, 'utf8');
  } catch {
    // The thread has ended meanwhile.
    return undefined;
  }
}
