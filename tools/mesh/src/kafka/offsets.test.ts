import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { lagOf } from './offsets.ts';

describe('the lag of a partition', () => {
  const view = { topic: 'eq.tasks', partition: 0, reader: 'leader' };
  it('is the number of records behind the saved position', () => {
    assert.equal(lagOf({ ...view, position: 3, end: 10 }).lag, 7);
    assert.equal(lagOf({ ...view, position: 12, end: 10 }).lag, 0);
  });
  it('is unknown without a position, unless there never was a record', () => {
    assert.equal(lagOf({ ...view, position: null, end: 10 }).lag, null);
    assert.equal(lagOf({ ...view, position: null, end: 0 }).lag, 0);
  });
});
