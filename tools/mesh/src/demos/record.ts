/** What the processes of a demonstration record, in order of time, and the judges of it. Pure. */

/**
 * One line, appended in one write at the moment of the act. `kind` is a lock's mode, a slot or a
 * task, `epoch` the epoch of the lease, and `others` the parties that were lost.
 */
export interface RecordLine {
  who: string;
  act: string;
  kind?: string;
  round?: number;
  epoch?: string;
  others?: readonly string[];
}

export interface RoundVerdict {
  round: number;
  parties: string[];
  beganTogether: boolean;
  endedTogether: boolean;
  lost: string[];
}

/**
 * Judges the rounds of a double barrier from `come` (before it enters), `begun`, `done` (before it
 * leaves) and `gone`. No party may begin before all of the round have come. No party may be gone
 * before all of them are done, except those that the others reported as lost.
 */
export function judgeRounds(lines: readonly RecordLine[]): RoundVerdict[] {
  const cameAt = new Map<string, number>();
  const rounds = new Map<number, { came: number[]; begun: number[]; members: string[] }>();
  const gone = new Map<number, { at: number[]; lost: Set<string> }>();
  const doneAt = new Map<string, number>();
  for (const [at, { who, act, round = 0, others = [] }] of lines.entries()) {
    if (act === 'come') cameAt.set(who, at);
    if (act === 'done') doneAt.set(`${round} ${who}`, at);
    if (act === 'begun') {
      const of = rounds.get(round) ?? { came: [], begun: [], members: [] };
      of.came.push(cameAt.get(who) ?? Infinity);
      of.begun.push(at);
      of.members.push(who);
      rounds.set(round, of);
    }
    if (act === 'gone') {
      const of = gone.get(round) ?? { at: [], lost: new Set() };
      of.at.push(at);
      for (const other of others) of.lost.add(other);
      gone.set(round, of);
    }
  }
  return [...rounds].map(([round, { came, begun, members }]) => {
    const { at = [], lost = new Set<string>() } = gone.get(round) ?? {};
    const finished = members.filter((who) => !lost.has(who)).map((who) => doneAt.get(`${round} ${who}`));
    const lastDone = Math.max(...finished.map((when) => when ?? Infinity));
    return {
      round,
      parties: members.toSorted(),
      beganTogether: Math.max(...came) < Math.min(...begun),
      endedTogether: at.length === finished.length && lastDone < Math.min(...at),
      lost: [...lost],
    };
  });
}

export interface HoldsVerdict {
  holds: Record<string, number>;
  together: Record<string, number>;
  acts: number;
  overlaps: string[];
}

/** Tells which kinds cannot be held at the same time. */
export type Excludes = (one: string, other: string) => boolean;

/**
 * Judges locks from `take`, `act` and `put` of each epoch. A hold is over when another holder that
 * it excludes has taken, because the first one may have died or lost its lease. If it acts after
 * that, the two overlap.
 */
export function judgeHolds(lines: readonly RecordLine[], excludes: Excludes): HoldsVerdict {
  const inside = new Map<string, { who: string; kind: string; over: string | undefined }>();
  const verdict: HoldsVerdict = { holds: {}, together: {}, acts: 0, overlaps: [] };
  for (const { who, act, kind = '', epoch = '' } of lines) {
    if (!['take', 'act', 'put'].includes(act)) continue;
    verdict.acts += 1;
    const key = `${kind} ${epoch}`;
    const mine = inside.get(key);
    if (act === 'take') {
      if (mine !== undefined) verdict.overlaps.push(`${who} takes epoch ${epoch}, which ${mine.who} has`);
      for (const other of inside.values())
        if (excludes(kind, other.kind)) other.over ??= `${who} (${kind}, epoch ${epoch})`;
      inside.set(key, { who, kind, over: undefined });
      verdict.holds[kind] = (verdict.holds[kind] ?? 0) + 1;
      const now = [...inside.values()].filter(({ over }) => over === undefined);
      const alike = now.filter((held) => held.kind === kind).length;
      verdict.together[kind] = Math.max(verdict.together[kind] ?? 0, alike);
      verdict.together['all'] = Math.max(verdict.together['all'] ?? 0, now.length);
      continue;
    }
    if (mine?.who !== who) verdict.overlaps.push(`${who} ${act}s in epoch ${epoch} without having taken it`);
    else if (mine.over !== undefined)
      verdict.overlaps.push(`${who} (${kind}, epoch ${epoch}) ${act}s after ${mine.over} has taken`);
    if (act === 'put') inside.delete(key);
  }
  return verdict;
}

export interface CountVerdict {
  answered: number;
  /** Increments that a dead process had begun, whose outcome is unknown. */
  open: number;
  lost: number;
  doubled: number;
}

/**
 * Compares the value with the bounds: all answered increments, plus at most those of unknown
 * outcome.
 */
export function judgeCount(value: number, begun: number, answered: number): CountVerdict {
  return {
    answered,
    open: begun - answered,
    lost: Math.max(0, answered - value),
    doubled: Math.max(0, value - begun),
  };
}
