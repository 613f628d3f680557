/** The properties of every election, checked over whole runs. */
import assert from 'node:assert/strict';
import fc from 'fast-check';
import type { step } from '../bully.ts';
import { World } from './world.ts';

/** Long enough for settling, an election, a hold, a hand-over and their retries. */
const quietMs = 4000;

const nodeCount = fc.integer({ min: 1, max: 5 });
const seed = fc.integer();
const node = fc.integer({ min: 1, max: 5 });
const way = fc.tuple(node, node).filter(([from, to]) => from !== to);

const action = fc.oneof(
  fc.record({ do: fc.constant('crash' as const), node }),
  fc.record({ do: fc.constant('restart' as const), node }),
  fc.record({ do: fc.constant('pause' as const), node }),
  fc.record({ do: fc.constant('resume' as const), node }),
  fc.record({ do: fc.constant('cut' as const), way }),
  fc.record({ do: fc.constant('cutDatabase' as const), node }),
  fc.record({ do: fc.constant('heal' as const) }),
);
const troubles = fc.array(fc.record({ afterMs: fc.integer({ min: 0, max: 900 }), action }), {
  maxLength: 14,
});
type Trouble = typeof troubles extends fc.Arbitrary<(infer T)[]> ? T : never;

/**
 * The safety rules hold at every step, whatever happens; once all faults end, all nodes agree on
 * the highest one.
 */
export function agreementAfterTrouble(variant?: typeof step) {
  return fc.property(nodeCount, seed, fc.boolean(), troubles, (nodes, seedOfRun, rough, story) => {
    const world = new World({ nodes, seed: seedOfRun, rough, ...(variant && { step: variant }) });
    for (const trouble of story) {
      world.run(trouble.afterMs);
      act(world, trouble.action);
    }
    world.calm();
    world.run(quietMs);
    world.assertConverged();
  });
}

function act(world: World, act: Trouble['action']): void {
  const exists = (id: number) => world.ids.includes(id);
  switch (act.do) {
    case 'cut':
      if (act.way.every(exists)) world.cut(...act.way);
      return;
    case 'heal':
      world.heal();
      return;
    default:
      if (exists(act.node)) world[act.do](act.node);
  }
}

/**
 * A cut of any set of directions and databases leaves one node draining and costs at most one
 * epoch; so does its heal.
 */
export function oneEpochPerCutAndPerHeal(variant?: typeof step) {
  const ways = fc.uniqueArray(way, { minLength: 1, maxLength: 20, selector: String });
  const offline = fc.uniqueArray(node, { maxLength: 5 });
  return fc.property(nodeCount, seed, ways, offline, (nodes, seedOfRun, cutWays, cutDatabases) => {
    const world = new World({ nodes, seed: seedOfRun, rough: false, ...(variant && { step: variant }) });
    world.run(quietMs);
    world.assertConverged();
    const before = world.fence.epoch;
    for (const [from, to] of cutWays) act(world, { do: 'cut', way: [from, to] });
    for (const id of cutDatabases) act(world, { do: 'cutDatabase', node: id });
    world.run(quietMs);
    const afterCut = world.fence.epoch;
    assert.ok(afterCut - before <= 1, `the cut cost ${afterCut - before} epochs`);
    world.assertOneDrains();
    world.heal();
    world.run(quietMs);
    assert.ok(world.fence.epoch - afterCut <= 1, `the heal cost ${world.fence.epoch - afterCut} epochs`);
    world.assertConverged();
  });
}
