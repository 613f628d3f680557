/** Whether this node could do the coordinator's work: it reaches PostgreSQL and the gateway. */
import { messageOf } from '@thermomesh/runtime';

export interface FitnessOptions {
  intervalMs: number;
  timeoutMs: number;
  /** Each rejects if its part cannot be reached. */
  probes: Record<string, (timeoutMs: number) => Promise<void>>;
  onChange: (fit: boolean, reasons: Record<string, string>) => void;
}

export interface Fitness {
  start(): void;
  stop(): void;
  reasons(): Record<string, string>;
}

/** Failures in a row that make a node unfit: one lost packet is no reason to yield. */
const failuresToUnfit = 2;

export function createFitness(options: FitnessOptions): Fitness {
  const failures = new Map<string, { count: number; reason: string }>();
  let fit: boolean | undefined;
  let timer: NodeJS.Timeout | undefined;
  let stopped = false;

  function reasons(): Record<string, string> {
    const unfit = [...failures].filter(([, failure]) => failure.count >= failuresToUnfit);
    return Object.fromEntries(unfit.map(([part, failure]) => [part, failure.reason]));
  }

  async function look(): Promise<void> {
    await Promise.all(
      Object.entries(options.probes).map(async ([part, probe]) => {
        try {
          await withDeadline(probe(options.timeoutMs), options.timeoutMs, part);
          failures.delete(part);
        } catch (error) {
          failures.set(part, { count: (failures.get(part)?.count ?? 0) + 1, reason: messageOf(error) });
        }
      }),
    );
    if (stopped) return;
    const now = Object.keys(reasons()).length === 0;
    // Nothing is known before the first look; a first failure is not yet "unfit", and not yet "fit" either.
    const settled = failures.size === 0 || !now;
    if (settled && now !== fit) {
      fit = now;
      options.onChange(now, reasons());
    }
    timer = setTimeout(() => void look(), options.intervalMs);
  }

  return {
    start: () => void look(),
    stop: () => {
      stopped = true;
      clearTimeout(timer);
    },
    reasons,
  };
}

async function withDeadline(work: Promise<void>, timeoutMs: number, part: string): Promise<void> {
  let timer: NodeJS.Timeout | undefined;
  const deadline = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error(`${part} did not answer within ${timeoutMs} ms`)), timeoutMs);
  });
  try {
    await Promise.race([work, deadline]);
  } finally {
    clearTimeout(timer);
  }
}
