import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { InvalidArgumentError } from 'commander';
import { applyChanges } from '../client/drain-config.ts';
import { parseChange } from './config.ts';

describe('mesh config on the command line', () => {
  it('reads limits by name, and what gives them back', () => {
    assert.deepEqual(parseChange('drain.batchRowsMax=500'), { name: 'batchRowsMax', value: 500 });
    assert.deepEqual(parseChange('drain.batchLingerMs=static'), { name: 'batchLingerMs', value: 'static' });
    for (const word of [
      'batchRowsMax=5',
      'drain.batchRowMax=5',
      'drain.batchRowsMax',
      'drain.batchRowsMax=',
      'drain.batchRowsMax=5=6',
      'drain.batchRowsMax=-1',
      'drain.batchRowsMax=many',
    ])
      assert.throws(() => parseChange(word), InvalidArgumentError, word);
  });

  it('changes what is named, keeps the rest, and refuses what no node would take', () => {
    const before = { batchRowsMax: 500, batchLingerMs: 4 };
    const changes = ['drain.batchRowsMax=static', 'drain.batchBytesMax=4096'].map(parseChange);
    assert.deepEqual(applyChanges(before, changes), { batchLingerMs: 4, batchBytesMax: 4096 });
    assert.deepEqual(before, { batchRowsMax: 500, batchLingerMs: 4 });
    assert.throws(() => applyChanges(before, [parseChange('drain.batchRowsMax=0')]), { code: 'usage' });
  });
});
