/** The rules that a cut and an orderly end are judged by (design §4), from what PostgreSQL itself has written down. Pure. */
import type { RuleVerdict } from '@thermomesh/contracts';

/** The batches of one epoch within the cut; ids in the order of commit. */
export interface EpochBatches {
  epoch: number;
  node: number;
  batches: number;
  rows: number;
  firstId: number;
  lastId: number;
  /** By the database's clock. */
  firstAtMs: number;
  lastAtMs: number;
}

export interface CutReadings {
  what: string;
  /** By the database's clock. */
  cutAtMs: number;
  healedAtMs: number;
  epochs: { before: number; atHeal: number; settled: number };
  /** In the order of their first ids. */
  drained: EpochBatches[];
  /** Readings arrived and some node reached both the gateway and PostgreSQL. */
  mustDrain: boolean;
}

/** Epochs that a cut, and its heal, may each cost. */
const epochsPerChangeMax = 1;

/** Exactly one side drains, and goes on; at most one epoch for the cut and one for the heal. */
export function judgeCut(readings: CutReadings): RuleVerdict[] {
  const { what, epochs } = readings;
  const cost = (id: string, from: number, to: number, when: string): RuleVerdict => ({
    id,
    ok: to - from <= epochsPerChangeMax,
    detail: `${what}: epoch ${from} before, ${to} ${when}`,
  });
  return [
    oneSideDrains(readings),
    drainGoesOn(readings),
    cost('one-epoch-per-cut', epochs.before, epochs.atHeal, 'when it healed'),
    cost('one-epoch-per-heal', epochs.atHeal, epochs.settled, 'when everybody agreed again'),
  ];
}

function oneSideDrains({ what, drained, cutAtMs }: CutReadings): RuleVerdict {
  const faults = drained.flatMap((current, index) => {
    const before = drained[index - 1];
    if (before === undefined) return [];
    if (before.epoch === current.epoch)
      return [`epoch ${current.epoch} was drained by nodes ${before.node} and ${current.node}`];
    if (before.lastId > current.firstId)
      return [
        `batch ${before.lastId} of epoch ${before.epoch} came after batch ${current.firstId} of epoch ${current.epoch}`,
      ];
    return [];
  });
  const seen = drained
    .map(
      ({ node, epoch, batches, rows, firstAtMs, lastAtMs }) =>
        `node ${node} epoch ${epoch}: ${batches} batches, ${rows} rows, ${Math.round(firstAtMs - cutAtMs)}–${Math.round(lastAtMs - cutAtMs)} ms`,
    )
    .join('; ');
  return {
    id: 'one-side-drains',
    ok: faults.length === 0,
    detail: `${what}: ${[...faults, seen === '' ? 'nothing was drained' : seen].join('; ')}`,
  };
}

/** In the second half of the cut there are commits: whoever had to take over has done so. */
function drainGoesOn({ what, drained, cutAtMs, healedAtMs, mustDrain }: CutReadings): RuleVerdict {
  const last = Math.max(cutAtMs, ...drained.map(({ lastAtMs }) => lastAtMs));
  const quietMs = Math.round(healedAtMs - last);
  return {
    id: 'drain-goes-on',
    ok: !mustDrain || last >= (cutAtMs + healedAtMs) / 2,
    detail: mustDrain
      ? `${what}: the last batch was committed ${quietMs} ms before the heal`
      : `${what}: there was nothing to drain, or nobody who could`,
  };
}

/** A coordinator that ended in order has acknowledged what it committed: nothing comes twice. */
export function judgeHandOver(what: string, redelivered: number): RuleVerdict {
  return {
    id: 'hand-over-redelivers-nothing',
    ok: redelivered === 0,
    detail: `${what}: ${redelivered} redelivered`,
  };
}

/** One verdict for each rule: all rounds that broke it, or what the last one saw. */
export function mergeRules(rules: RuleVerdict[]): RuleVerdict[] {
  const byId = Map.groupBy(rules, ({ id }) => id);
  return [...byId].map(([id, verdicts]) => {
    const broken = verdicts.filter(({ ok }) => !ok);
    const shown = broken.length > 0 ? broken : verdicts.slice(-1);
    return { id, ok: broken.length === 0, detail: shown.map(({ detail }) => detail).join(' | ') };
  });
}
