/**
 * The storm: kills and freezes every process that takes part in a payment, while the card processor
 * fails at random.
 */
import { sleep } from '@thermomesh/runtime';
import { meshError } from '../../errors.ts';
import type { ProcessRole } from '../../mesh/files/run-file.ts';
import type { Mesh } from '../../mesh/mesh.ts';
import { readProcesses } from '../../mesh/status.ts';
import { until } from '../../mesh/until.ts';
import { seeded, type Seeded } from '../../seeded.ts';
import type { ProcessorClient } from '../../mesh/payments/processor-client.ts';

/** Probabilities for each call of the processor; hangs and delays outlast billing's time limit. */
export const stormFaults = {
  rates: {
    refuse: 0.05,
    decline: 0.02,
    delay: 0.04,
    hang: 0.01,
    'drop-reply': 0.06,
    'drop-request': 0.06,
  },
  delayMs: 1_800,
};

/** The roles that take part in a payment. */
const roles: readonly ProcessRole[] = ['gateway', 'billing', 'card-processor', 'redis', 'postgres'];
const signals = ['KILL', 'STOP'] as const;

export interface PaymentFault {
  target: string;
  signal: (typeof signals)[number];
  /** Duration of a STOP. */
  pauseMs: number;
  /** Pause before the fault, so that requests are under way. */
  waitMs: number;
}

export interface StormOptions {
  seed: number;
  recoveryTimeoutMs: number;
  /**
   * Called before each fault. `round` counts from 0; in each round every target is killed and
   * frozen once.
   */
  onFault: (fault: PaymentFault, at: { round: number; index: number; of: number }) => void;
}

/** The faults of one round: each target is killed once and frozen once, in random order. */
export function faultsOf(targets: readonly string[], chance: Seeded): PaymentFault[] {
  const all = targets.flatMap((target) => signals.map((signal) => ({ target, signal })));
  return chance.shuffled(all).map((fault) => ({
    ...fault,
    pauseMs: chance.whole(300, 1_500),
    waitMs: chance.whole(50, 400),
  }));
}

/** The possible targets in this mesh; external servers are not among them. */
export function stormTargets(mesh: Mesh): string[] {
  return (mesh.run()?.processes ?? []).filter(({ role }) => roles.includes(role)).map(({ name }) => name);
}

/**
 * Injects faults until `over` returns true, but at least one whole round; then switches off the
 * processor's faults and waits until everything has recovered.
 * @throws MeshError `mesh.timeout` if a process does not recover
 */
export async function playStorm(
  mesh: Mesh,
  processor: ProcessorClient,
  options: StormOptions,
  over: (roundsDone: number) => boolean,
): Promise<void> {
  const targets = stormTargets(mesh);
  const chance = seeded(options.seed);
  await processor.setFaults(stormFaults);
  try {
    storm: for (let round = 0; ; round += 1) {
      const faults = faultsOf(targets, chance);
      for (const [index, fault] of faults.entries()) {
        if (over(round)) break storm;
        options.onFault(fault, { round, index, of: faults.length });
        await sleep(fault.waitMs);
        await inject(mesh, fault, options.recoveryTimeoutMs);
        // A killed card processor has lost its fault plan.
        await processor.setFaults(stormFaults);
      }
    }
  } finally {
    await processor.setFaults({});
  }
  await untilWhole(mesh, options.recoveryTimeoutMs);
}

async function inject(
  mesh: Mesh,
  { target, signal, pauseMs }: PaymentFault,
  timeoutMs: number,
): Promise<void> {
  const record = mesh.run()?.processes.find(({ name }) => name === target);
  const identity = record === undefined ? undefined : await mesh.host.living(record);
  if (identity === undefined)
    throw meshError('chaos.missed', `${target} does not run, so it cannot get a fault`);
  const victim = { name: target, identity };
  if (signal === 'STOP') {
    // If only the postmaster of PostgreSQL is frozen, its children still serve every open
    // connection.
    const family = record?.role === 'postgres';
    await mesh.host.whileFrozen(victim, { family, timeoutMs }, async () => sleep(pauseMs));
  } else {
    await mesh.host.signal(victim, 'SIGKILL');
    await until({ what: `${target} to end`, timeoutMs }, async () => !(await mesh.host.isAlive(victim)));
    await until({ what: `${target} to be restarted`, timeoutMs }, async () => {
      const now = mesh.run()?.processes.find(({ name }) => name === target);
      return now?.ready === true && (now.pid !== identity.pid || now.startTime !== identity.startTime);
    });
  }
  await untilWhole(mesh, timeoutMs);
}

/** Waits until everything that takes part in a payment answers. */
async function untilWhole(mesh: Mesh, timeoutMs: number): Promise<void> {
  await until({ what: 'payments to have recovered', timeoutMs, pollMs: 100 }, async () =>
    (await readProcesses(mesh)).every(({ role, ready }) => ready || !(roles as string[]).includes(role)),
  );
}
