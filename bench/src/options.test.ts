import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import * as billing from './billing/plan.ts';
import { fullPlan, quickPlan, sections } from './ingest/plan.ts';
import { readOptions } from './options.ts';

describe('arguments of the bench', () => {
  it('without flags every section is measured with the full plan', () => {
    const options = readOptions(['ingest']);
    assert.equal(options.plan, fullPlan);
    assert.deepEqual(options.what === 'ingest' && options.only, sections);
    assert.equal(options.json || options.strict, false);
    assert.ok(fullPlan.failover.kills >= 100);
    assert.deepEqual(fullPlan.drain.sizes.at(-1)?.readings, 1_000_000);
  });

  it('all flags are read into the options', () => {
    const options = readOptions([
      'ingest',
      '--quick',
      '--json',
      '--strict',
      '--only',
      'drain,failover',
      '--name',
      'x',
    ]);
    assert.deepEqual(
      { ...options, profileDir: null },
      {
        what: 'ingest',
        name: 'x',
        json: true,
        strict: true,
        only: ['drain', 'failover'],
        plan: quickPlan,
        profileDir: null,
      },
    );
  });

  it('billing has its own plans and refuses --only', () => {
    assert.equal(readOptions(['billing']).plan, billing.fullPlan);
    assert.equal(readOptions(['billing', '--quick']).plan, billing.quickPlan);
    assert.throws(() => readOptions(['billing', '--only', 'drain']), { code: 'usage' });
    // The target is for the first processor of the plan.
    assert.equal(billing.quickPlan.processor[0]?.delayMs, billing.fullPlan.processor[0]?.delayMs);
    assert.equal(billing.quickPlan.concurrent, 256);
  });

  it('wrong usage is refused with the help text', () => {
    for (const words of [
      [],
      ['payments'],
      ['ingest', 'billing'],
      ['ingest', 'twice'],
      ['ingest', '--only', 'nothing'],
      ['ingest', '--loud'],
    ]) {
      assert.throws(() => readOptions(words), { code: 'usage', message: /Usage/ }, words.join(' '));
    }
    assert.throws(() => readOptions(['--help']), { code: 'help' });
  });
});
