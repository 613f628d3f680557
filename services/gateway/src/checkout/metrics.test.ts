import assert from 'node:assert/strict';
import { it } from 'node:test';
import { createMetrics } from '@thermomesh/runtime';
import { createCheckoutMetrics } from './metrics.ts';

it('a scrape reads depth and age in one query, and NaN while PostgreSQL is down', async () => {
  const metrics = createMetrics({ defaults: false });
  let queries = 0;
  let away = false;
  createCheckoutMetrics(metrics, {
    available: () => true,
    streams: () => 0,
    outbox: async () => {
      queries += 1;
      if (away) throw new Error('PostgreSQL is away');
      return { depth: queries, oldestAgeMs: queries * 1_000 };
    },
  });
  const scrape = async () => {
    const text = await metrics.registry.metrics();
    return ['depth', 'oldest_age_ms'].map((name) =>
      Number(new RegExp(`^thermomesh_checkout_outbox_${name} (.*)$`, 'm').exec(text)?.[1]),
    );
  };
  assert.deepEqual(await scrape(), [1, 1_000]);
  assert.deepEqual(await scrape(), [2, 2_000]);
  away = true;
  assert.deepEqual(await scrape(), [Number.NaN, Number.NaN]);
  away = false;
  assert.deepEqual(await scrape(), [4, 4_000]);
});
