/** Verdicts as readable text. */
import {
  invariants as promises,
  type InvariantVerdict,
  type LoadDocument,
  type RuleVerdict,
} from '@thermomesh/contracts';
import { show, showMs } from './table.ts';

/** Renders one line for each invariant. */
export function renderVerdicts(verdicts: InvariantVerdict[]): string {
  return verdicts
    .map(
      ({ id, ok, detail }) =>
        `${ok === null ? 'null  ' : ok ? 'kept  ' : 'BROKEN'}  ${id} ${promises[id as keyof typeof promises]}: ${detail}`,
    )
    .join('\n');
}

/** Renders one line for each rule of the series. */
export function renderRules(rules: RuleVerdict[]): string {
  return rules.map(({ id, ok, detail }) => `${ok ? 'kept  ' : 'BROKEN'}  ${id}: ${detail}`).join('\n');
}

/** Renders the outcome of a load. */
export function renderLoad(load: LoadDocument): string {
  const latency = ({ p50, p99, max }: LoadDocument['ackMs']) =>
    `p50 ${showMs(p50)}, p99 ${showMs(p99)}, max ${showMs(max)}`;
  return [
    `sent ${load.sent} (${load.ratePerSecond.toFixed(0)}/s), acked ${load.acked}, stored ${load.stored}, rejected ${load.rejected}`,
    `lost ${load.lost}, duplicated ${load.duplicated}, corrupted ${load.corrupted}`,
    `ack         ${latency(load.ackMs)}`,
    `end to end  ${latency(load.endToEndMs)}`,
  ].join('\n');
}

/** Renders a count with percentiles. */
export function renderDurations(
  durations: { n: number; p50: number | null; p99: number | null; max: number | null } | null,
): string {
  if (durations === null) return '-';
  return `${durations.n} measured, p50 ${showMs(durations.p50)}, p99 ${showMs(durations.p99)}, max ${showMs(durations.max)}`;
}

export function renderDrain(drainMs: number | null): string {
  return drainMs === null ? show(null) : showMs(drainMs);
}
