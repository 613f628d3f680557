/** The storm: kills and freezes whatever takes part in a payment, in turn, while the card processor fails by chance. */
import { setTimeout as delay } from 'node:timers/promises';
import { MeshError } from '@thermomesh/runtime';
import { readProcesses, type Mesh } from '../client/mesh.ts';
import { until } from '../client/until.ts';
import type { ProcessRole } from '../state/run-file.ts';
import type { ProcessorClient } from './processor-client.ts';
import { seeded, type Seeded } from './seeded.ts';

/** By chance of each call of the processor; hangs and delays outlast billing's patience. */
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

/** What a payment passes through. */
const roles: readonly ProcessRole[] = ['gateway', 'billing', 'card-processor', 'redis', 'postgres'];
const signals = ['KILL', 'STOP'] as const;

export interface PaymentBlow {
  target: string;
  signal: (typeof signals)[number];
  /** STOP: how long. */
  pauseMs: number;
  /** Before it: requests are under way then. */
  waitMs: number;
}

export interface StormOptions {
  seed: number;
  recoveryTimeoutMs: number;
  /** Told before each blow; `round` counts from 0, and each has every target killed and frozen once. */
  onBlow: (blow: PaymentBlow, at: { round: number; index: number; of: number }) => void;
}

/** One round: each target killed once and frozen once, in an order of chance. */
export function blowsOf(targets: readonly string[], chance: Seeded): PaymentBlow[] {
  const all = targets.flatMap((target) => signals.map((signal) => ({ target, signal })));
  return chance.shuffled(all).map((blow) => ({
    ...blow,
    pauseMs: chance.whole(300, 1_500),
    waitMs: chance.whole(50, 400),
  }));
}

/** Who can be hurt in this mesh: servers of somebody else's are not among them. */
export function stormTargets(mesh: Mesh): string[] {
  return (mesh.run()?.processes ?? []).filter(({ role }) => roles.includes(role)).map(({ name }) => name);
}

/**
 * Blows until `over` says so, one whole round at least; then ends the faults and waits until everything is whole.
 * @throws MeshError `mesh.timeout` if something does not recover
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
      const blows = blowsOf(targets, chance);
      for (const [index, blow] of blows.entries()) {
        if (over(round)) break storm;
        options.onBlow(blow, { round, index, of: blows.length });
        await delay(blow.waitMs);
        await strike(mesh, blow, options.recoveryTimeoutMs);
        // A card processor that was killed has forgotten its faults.
        await processor.setFaults(stormFaults);
      }
    }
  } finally {
    await processor.setFaults({});
  }
  await untilWhole(mesh, options.recoveryTimeoutMs);
}

async function strike(
  mesh: Mesh,
  { target, signal, pauseMs }: PaymentBlow,
  timeoutMs: number,
): Promise<void> {
  const record = mesh.run()?.processes.find(({ name }) => name === target);
  const identity = record === undefined ? undefined : await mesh.host.living(record);
  if (identity === undefined) throw new MeshError('chaos.missed', `${target} is not there to be hurt`);
  const victim = { name: target, identity };
  if (signal === 'STOP') {
    // A PostgreSQL whose postmaster alone sleeps serves every connection that it has as if nothing were.
    const family = record?.role === 'postgres';
    await mesh.host.whileFrozen(victim, { family, timeoutMs }, async () => delay(pauseMs));
  } else {
    await mesh.host.signal(victim, 'SIGKILL');
    await until({ what: `${target} to end`, timeoutMs }, async () => !(await mesh.host.isAlive(victim)));
    await until({ what: `${target} to be started again`, timeoutMs }, async () => {
      const now = mesh.run()?.processes.find(({ name }) => name === target);
      return now?.ready === true && (now.pid !== identity.pid || now.startTime !== identity.startTime);
    });
  }
  await untilWhole(mesh, timeoutMs);
}

/** Everything that takes part in a payment answers. */
async function untilWhole(mesh: Mesh, timeoutMs: number): Promise<void> {
  await until({ what: 'payments to be whole again', timeoutMs, pollMs: 100 }, async () =>
    (await readProcesses(mesh)).every(({ role, ready }) => ready || !(roles as string[]).includes(role)),
  );
}
