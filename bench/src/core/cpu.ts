/** CPU times of processes, as the kernel counts them. */

/** CPU time in microseconds by the name of the process in the report. */
export type CpuTimes = Record<string, number>;

/** CPU time in microseconds by thread or process id. */
export type CpuSample = ReadonlyMap<number, number>;

/**
 * Reads the first field of `/proc/<pid>/task/<tid>/schedstat`: the time on a CPU in nanoseconds
 * (proc(5)), which is finer than the ticks of `stat`.
 * @returns microseconds
 * @throws RangeError for another text
 */
export function parseSchedstatUs(text: string): number {
  const ns = Number(text.trim().split(' ')[0]);
  if (!Number.isFinite(ns) || text.trim() === '') throw new RangeError(`not a schedstat: ${text}`);
  return ns / 1000;
}

/**
 * CPU time between two samples. A new thread counts in full; a thread that has ended in between is
 * not counted (at most those of a thread pool).
 */
export function elapsedUs(before: CpuSample, after: CpuSample): number {
  let total = 0;
  for (const [id, us] of after) total += Math.max(0, us - (before.get(id) ?? 0));
  return total;
}

/** Microseconds a message by process, and their sum as `total`. */
export function perMessage(times: CpuTimes, messages: number): CpuTimes {
  const entries = Object.entries(times).map(
    ([name, us]) => [name, messages === 0 ? 0 : us / messages] as const,
  );
  const total = entries.reduce((sum, [, us]) => sum + us, 0);
  return { ...Object.fromEntries(entries), total };
}

/**
 * Busy microseconds of all CPUs together, from the first line of `/proc/stat` (ticks of 1/100 s,
 * without idle and iowait).
 * @throws RangeError for another text
 */
export function parseBusyUs(text: string): number {
  const fields = /^cpu +(.*)$/m.exec(text)?.[1]?.split(' ').map(Number);
  if (fields === undefined || fields.length < 8) throw new RangeError('not a /proc/stat');
  const [user = 0, nice = 0, system = 0, , , irq = 0, softirq = 0, steal = 0] = fields;
  return (user + nice + system + irq + softirq + steal) * 10_000;
}
