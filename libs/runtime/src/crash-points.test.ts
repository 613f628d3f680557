import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { createCrashHook, parseCrashPlan } from './crash-points.ts';

describe('crash points', () => {
  it('a crash plan is parsed', () => {
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

  it('a crash plan with an unknown point, action or count is refused', () => {
    assert.throws(() => parseCrashPlan('nowhere'), /unknown crash point/);
    assert.throws(() => parseCrashPlan('gateway.after-commit:1:hop'), /kill or stop/);
    assert.throws(() => parseCrashPlan('gateway.after-commit:0'), /from 1/);
  });

  it('a crash hook without a plan does nothing', () =>
    createCrashHook(undefined, undefined)('gateway.before-commit'));
});
