/** CPU time of processes, as the kernel accounts it. */

/** Name of a process in the report → its CPU time in microseconds. */
export type CpuTimes = Record<string, number>;

/** CPU time in microseconds by thread or process id. */
export type CpuSample = ReadonlyMap<number, number>;

/** The first field of `/proc/<pid>/task/<tid>/schedstat`: nanoseconds on a CPU (proc(5)); finer than the ticks of `stat`. */
export function parseSchedstatUs(text: string): number {
  const ns = Number(text.trim().split(' ')[0]);
  if (!Number.isFinite(ns) || text.trim() === '') throw new RangeError(`not a schedstat: ${text}`);
  return ns / 1000;
}

/** Time between two samples: who is new counts in full, who has ended in between is lost (a thread pool's, at most). */
export function elapsedUs(before: CpuSample, after: CpuSample): number {
  let total = 0;
  for (const [id, us] of after) total += Math.max(0, us - (before.get(id) ?? 0));
  return total;
}

/** Microseconds a message, by process, and their sum under `total`. */
export function perMessage(times: CpuTimes, messages: number): CpuTimes {
  const entries = Object.entries(times).map(
    ([name, us]) => [name, messages === 0 ? 0 : us / messages] as const,
  );
  const total = entries.reduce((sum, [, us]) => sum + us, 0);
  return { ...Object.fromEntries(entries), total };
}

/** Busy microseconds of all CPUs together, from the first line of `/proc/stat` (ticks of 1/100 s; idle and iowait left out). */
export function parseBusyUs(text: string): number {
  const fields = /^cpu +(.*)$/m.exec(text)?.[1]?.split(' ').map(Number);
  if (fields === undefined || fields.length < 8) throw new RangeError('not a /proc/stat');
  const [user = 0, nice = 0, system = 0, , , irq = 0, softirq = 0, steal = 0] = fields;
  return (user + nice + system + irq + softirq + steal) * 10_000;
}
