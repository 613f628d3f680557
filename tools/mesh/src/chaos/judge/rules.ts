/**
 * The rules for a cut and for a graceful stop (design §4), judged by what PostgreSQL has stored.
 * Pure.
 */
import type { RuleVerdict } from '@thermomesh/contracts';

/** The batches of one epoch within the cut; ids are in order of commit. */
export interface EpochBatches {
  epoch: number;
  node: number;
  batches: number;
  rows: number;
  firstId: number;
  lastId: number;
  /** Commit times are those of the database's clock. */
  firstAtMs: number;
  lastAtMs: number;
}

export interface CutReadings {
  what: string;
  /** Both times are those of the database's clock. */
  cutAtMs: number;
  healedAtMs: number;
  epochs: { before: number; atHeal: number; settled: number };
  /** In order of their first ids. */
  drained: EpochBatches[];
  /** True if readings arrived and some node reached both the gateway and PostgreSQL. */
  mustDrain: boolean;
}

/** Maximum number of epochs that a cut may cost, and its heal. */
const epochsPerChangeMax = 1;

/**
 * Judges one cut: exactly one side drains, and continues to; the cut and the heal each cost at most
 * one epoch.
 */
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
    cost('one-epoch-per-heal', epochs.atHeal, epochs.settled, 'when all nodes agreed again'),
  ];
}

function oneSideDrains({ what, drained, cutAtMs }: CutReadings): RuleVerdict {
  const violations = drained.flatMap((current, index) => {
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
    ok: violations.length === 0,
    detail: `${what}: ${[...violations, seen === '' ? 'nothing was drained' : seen].join('; ')}`,
  };
}

/**
 * Checks that there are commits in the second half of the cut: a take-over must be done by then.
 */
function drainGoesOn({ what, drained, cutAtMs, healedAtMs, mustDrain }: CutReadings): RuleVerdict {
  const last = Math.max(cutAtMs, ...drained.map(({ lastAtMs }) => lastAtMs));
  const quietMs = Math.round(healedAtMs - last);
  return {
    id: 'drain-goes-on',
    ok: !mustDrain || last >= (cutAtMs + healedAtMs) / 2,
    detail: mustDrain
      ? `${what}: the last batch was committed ${quietMs} ms before the heal`
      : `${what}: there was nothing to drain, or no node could drain`,
  };
}

/**
 * Judges a graceful stop: the coordinator has acknowledged what it committed, so nothing is
 * redelivered.
 */
export function judgeHandOver(what: string, redelivered: number): RuleVerdict {
  return {
    id: 'hand-over-redelivers-nothing',
    ok: redelivered === 0,
    detail: `${what}: ${redelivered} redelivered`,
  };
}

/**
 * Merges the verdicts of all rounds by rule: the rounds that broke it, or else what the last round
 * saw.
 */
export function mergeRules(rules: RuleVerdict[]): RuleVerdict[] {
  const byId = Map.groupBy(rules, ({ id }) => id);
  return [...byId].map(([id, verdicts]) => {
    const broken = verdicts.filter(({ ok }) => !ok);
    const shown = broken.length > 0 ? broken : verdicts.slice(-1);
    return { id, ok: broken.length === 0, detail: shown.map(({ detail }) => detail).join(' | ') };
  });
}
