import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { createCrashHook, parseCrashPlan } from './crash-points.ts';

describe('crash points', () => {
  it('reads a plan', () => {
    assert.equal(parseCrashPlan(undefined), undefined);
    assert.equal(parseCrashPlan(''), undefined);
    assert.deepEqual(parseCrashPlan('gateway.before-commit'), {
      point: 'gateway.before-commit',
      nth: 1,
      action: 'kill',
    });
    assert.deepEqual(parseCrashPlan('gateway.after-commit:3:stop'), {
      point: 'gateway.after-commit',
      nth: 3,
      action: 'stop',
    });
  });

  it('refuses what it does not know', () => {
    assert.throws(() => parseCrashPlan('nowhere'), /unknown crash point/);
    assert.throws(() => parseCrashPlan('gateway.after-commit:1:hop'), /kill or stop/);
    assert.throws(() => parseCrashPlan('gateway.after-commit:0'), /from 1/);
  });

  it('does nothing without a plan', () => createCrashHook(undefined, undefined)('gateway.before-commit'));
});
