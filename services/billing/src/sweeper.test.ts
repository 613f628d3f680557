import assert from 'node:assert/strict';
import { it } from 'node:test';
import { createLog, createMetrics } from '@thermomesh/runtime';
import { createBillingMetrics } from './metrics.ts';
import { createSweeper } from './sweeper.ts';

/** A sweeper whose database does what `look` does; `turn` resolves after the next sweep. */
function sweeperOver(look: () => Promise<number>) {
  const lines: string[] = [];
  let next = Promise.withResolvers<void>();
  const looked = () => {
    next.resolve();
    next = Promise.withResolvers<void>();
  };
  const registry = createMetrics({ defaults: false });
  const retired: [number, number][] = [];
  const sweeper = createSweeper({
    payments: {
      ask: () => Promise.reject(new Error('not here')),
      settle: async () => undefined,
      sweep: async () => look().finally(looked),
    },
    store: {
      retire: async (...args) => {
        retired.push(args);
        return 3;
      },
    },
    metrics: createBillingMetrics(registry),
    log: createLog('test', 'info', { write: (line) => void lines.push(line) }),
    sweepIntervalMs: 1,
    sweepRowsMax: 7,
    retireIntervalMs: 60_000,
    retentionDays: 730,
  });
  return { sweeper, lines, retired, registry, turn: async () => next.promise };
}

it('an outage of the database makes the replica unready and is logged once', async () => {
  let gone = true;
  const { sweeper, lines, turn } = sweeperOver(async () => {
    if (gone) throw new Error('gone');
    return 0;
  });
  assert.notEqual(sweeper.unhealthyReason(), undefined);
  sweeper.start();
  for (let n = 0; n < 5; n++) await turn();
  assert.equal(sweeper.unhealthyReason(), 'gone');
  gone = false;
  for (let n = 0; n < 2; n++) await turn();
  assert.equal(sweeper.unhealthyReason(), undefined);
  await sweeper.stop();
  assert.ok(lines.filter((line) => line.includes('sweep.failed')).length <= 2);
});

it('answers are retired after their retention and counted', async () => {
  const { sweeper, retired, registry, turn } = sweeperOver(async () => 0);
  sweeper.start();
  await turn();
  await sweeper.stop();
  assert.deepEqual(retired, [[730, 1_000]]);
  assert.match(await registry.registry.metrics(), /billing_retired_total 3/);
});
