/** The whole ingest bench: its sections one after the other, one document. */
import type { Findings, RunDocument } from '../parts/arms.ts';
import { describeMachine } from '../parts/machine.ts';
import type { RunOptions } from '../parts/scope.ts';
import { createWorld } from '../parts/world.ts';
import { checkAccounts, startChain } from './chain.ts';
import { measureDrain } from './drain.ts';
import { measureEndToEnd } from './end-to-end.ts';
import { measureFailover } from './failover.ts';
import { measureLatency } from './latency.ts';
import type { IngestPlan, Section } from './plan.ts';
import { measurePublish } from './publish.ts';

export interface IngestDocument extends RunDocument {
  bench: 'ingest';
}

export interface IngestOptions extends RunOptions {
  plan: IngestPlan;
  only: readonly Section[];
}

/** The highest rates that `latency` assumes if `end-to-end` was left out. */
const assumedHighest = { b1: 40_000, b20: 60_000 };

/**
 * Measures the sections of `only`.
 * @throws MeshError `bench.unbalanced`, or if an arm fails
 */
export async function runIngest(options: IngestOptions): Promise<IngestDocument> {
  const { name, plan, only, scope, say } = options;
  const started = new Date();
  const world = await createWorld({ scope, profileDir: options.profileDir, say });
  options.onFolder?.(world.folder);
  const machine = await describeMachine(world.folder, world.pool);
  const found: Findings[] = [];
  if (only.includes('publish')) found.push(await measurePublish(world, plan));
  if (only.some((part) => part === 'end-to-end' || part === 'latency' || part === 'drain')) {
    const chain = await startChain(world, plan);
    let highest = assumedHighest;
    if (only.includes('end-to-end')) {
      const endToEnd = await measureEndToEnd(chain, plan);
      ({ highest } = endToEnd);
      found.push({ arms: endToEnd.arms, targets: endToEnd.targets });
    }
    if (only.includes('latency')) found.push(await measureLatency(chain, highest, plan));
    if (only.includes('drain')) found.push(await measureDrain(chain, plan));
    await checkAccounts(chain);
    for (const part of [chain.generator.callee, chain.node, chain.gateway]) await part.stop();
  }
  if (only.includes('failover')) found.push(await measureFailover(world, plan));
  return {
    name,
    bench: 'ingest',
    quick: plan.quick,
    startedAt: started.toISOString(),
    seconds: Math.round((Date.now() - started.getTime()) / 1000),
    machine,
    arms: found.flatMap(({ arms }) => arms),
    targets: found.flatMap(({ targets }) => targets),
  };
}
