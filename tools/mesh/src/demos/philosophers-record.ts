/** What the philosophers recorded, and who waits for whom in ZooKeeper. Pure. */
import type { PhilosophersDocument } from '@thermomesh/contracts';

export const seats = 5;
export type ArmName = PhilosophersDocument['arms'][number]['name'];

/** The forks of a philosopher; neighbours share one fork. */
export function forksOf(philosopher: number): { left: number; right: number } {
  return { left: philosopher, right: (philosopher + 1) % seats };
}

/**
 * The order in which an arm takes the two forks. The lower number first is one order for all forks,
 * so no circle of waiting can close.
 */
export function takingOrder(arm: ArmName, philosopher: number): [number, number] {
  const { left, right } = forksOf(philosopher);
  return arm === 'ordered' && right < left ? [right, left] : [left, right];
}

/**
 * One line of the record, appended at the moment of the act. `lost` is no act: the lease was over
 * before its release.
 */
export interface RecordLine {
  philosopher: number;
  fork: number;
  /** Epoch of the lease. */
  epoch: string;
  act: 'take' | 'put' | 'lost';
}

type Verdict = PhilosophersDocument['arms'][number]['record'];
const findingsMax = 10;

/**
 * Judges a record by its epochs. On each fork no epoch may act after a later one has acted. Two
 * simultaneous holders would break this, because the first one releases after the second one has
 * taken. A process that dies or loses its lease does not act any more.
 */
export function judgeRecord(lines: readonly RecordLine[]): Verdict {
  const latest = new Map<number, { epoch: bigint; philosopher: number; open: boolean }>();
  const violations: string[] = [];
  let acts = 0;
  for (const { philosopher, fork, epoch: text, act } of lines) {
    if (act === 'lost') continue;
    acts += 1;
    const epoch = BigInt(text);
    const last = latest.get(fork);
    const name = `fork ${fork}: philosopher ${philosopher} in epoch ${epoch}`;
    if (last !== undefined && epoch < last.epoch) {
      violations.push(`${name} ${act} after philosopher ${last.philosopher} in epoch ${last.epoch}`);
    } else if (act === 'put') {
      if (last?.open !== true || last.epoch !== epoch || last.philosopher !== philosopher)
        violations.push(`${name} put what it had not taken`);
      else last.open = false;
    } else if (last?.epoch === epoch) {
      violations.push(`${name} take of an epoch that philosopher ${last.philosopher} has had`);
    } else latest.set(fork, { epoch, philosopher, open: true });
  }
  return { acts, violations: violations.length, findings: violations.slice(0, findingsMax) };
}

/** The philosophers at a fork, the holder first. */
export type Queue = readonly { philosopher: number; ticket: string }[];

/**
 * Philosophers each of whom waits for a fork of the next one; undefined if there is no such circle.
 */
export function findCycle(forks: readonly Queue[]): number[] | undefined {
  const waitsFor = new Map<number, Set<number>>();
  for (const queue of forks) {
    for (const [place, { philosopher }] of queue.entries()) {
      const before = waitsFor.get(philosopher) ?? new Set();
      for (const other of queue.slice(0, place)) before.add(other.philosopher);
      before.delete(philosopher);
      waitsFor.set(philosopher, before);
    }
  }
  const walk = (way: number[]): number[] | undefined => {
    for (const next of waitsFor.get(way.at(-1) ?? -1) ?? []) {
      const from = way.indexOf(next);
      if (from >= 0) return way.slice(from);
      const found = walk([...way, next]);
      if (found !== undefined) return found;
    }
    return undefined;
  };
  for (const start of [...waitsFor.keys()].sort((left, right) => left - right)) {
    const cycle = walk([start]);
    if (cycle !== undefined) return cycle;
  }
  return undefined;
}

/**
 * The circle, if it is in both readings with the same tickets. A ticket's name is never used twice,
 * so all of them existed at the moment between the readings, although the forks of one reading are
 * read one after another.
 */
export function confirmedCycle(first: readonly Queue[], second: readonly Queue[]): number[] | undefined {
  const seen = new Set(first.flat().map(({ ticket }) => ticket));
  return findCycle(second.map((queue) => queue.filter(({ ticket }) => seen.has(ticket))));
}
