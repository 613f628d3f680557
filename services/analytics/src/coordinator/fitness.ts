/** Whether this node could be coordinator: it must reach PostgreSQL and the gateway. */
import { messageOf, raceTimeout } from '@thermomesh/runtime';

export interface FitnessOptions {
  /** Pause between two rounds of probes. */
  intervalMs: number;
  /** A probe that takes longer has failed. */
  timeoutMs: number;
  /** Probes by the part that they check. A probe rejects if its part cannot be reached. */
  probes: Record<string, (timeoutMs: number) => Promise<void>>;
}

/** Receives each change; `reasons` says by part why the node is unfit. */
export type FitnessListener = (fit: boolean, reasons: Record<string, string>) => void;

/** Probes the parts that a coordinator needs. */
export interface Fitness {
  /** Starts probing. `onChange` is called first when the first result is certain. */
  start(onChange: FitnessListener): void;
  stop(): void;
  /** Why the node is unfit, by part; empty while it is fit. */
  reasons(): Record<string, string>;
}

/** Failures in a row that make a node unfit: one lost packet is no reason to yield. */
const failuresToUnfit = 2;

/** What the probes have shown so far. */
type FitnessState =
  /** No result is certain yet. */
  { state: 'unknown' } | { state: 'fit' } | { state: 'unfit' } | { state: 'stopped' };

/** Creates the probing; it is not started. */
export function createFitness(options: FitnessOptions): Fitness {
  const failures = new Map<string, { count: number; reason: string }>();
  let current: FitnessState = { state: 'unknown' };
  let timer: NodeJS.Timeout | undefined;

  function reasons(): Record<string, string> {
    const unfit = [...failures].filter(([, failure]) => failure.count >= failuresToUnfit);
    return Object.fromEntries(unfit.map(([part, failure]) => [part, failure.reason]));
  }

  async function probe(part: string, ask: (timeoutMs: number) => Promise<void>): Promise<void> {
    const { timeoutMs } = options;
    const late = () => new Error(`${part} did not answer within ${timeoutMs} ms`);
    try {
      await raceTimeout(ask(timeoutMs), timeoutMs, late);
      failures.delete(part);
    } catch (error) {
      failures.set(part, { count: (failures.get(part)?.count ?? 0) + 1, reason: messageOf(error) });
    }
  }

  async function look(onChange: FitnessListener): Promise<void> {
    await Promise.all(Object.entries(options.probes).map(async ([part, ask]) => probe(part, ask)));
    const next = stateAfter(current);
    if (next.state === 'stopped') return;
    if (next.state !== current.state) {
      current = next;
      onChange(next.state === 'fit', reasons());
    }
    timer = setTimeout(() => void look(onChange), options.intervalMs);
  }

  function stateAfter(before: FitnessState): FitnessState {
    switch (before.state) {
      case 'unknown':
      case 'fit':
      case 'unfit':
        if (Object.keys(reasons()).length > 0) return { state: 'unfit' };
        // A single failure proves neither that the node is fit nor that it is unfit.
        return failures.size === 0 ? { state: 'fit' } : before;
      case 'stopped':
        return before;
    }
  }

  return {
    start: (onChange) => void look(onChange),
    stop: () => {
      current = { state: 'stopped' };
      clearTimeout(timer);
    },
    reasons,
  };
}
