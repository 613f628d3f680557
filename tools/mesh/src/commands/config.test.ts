import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { InvalidArgumentError } from 'commander';
import { applyChanges } from '../zookeeper/drain-config.ts';
import { parseChange } from './config.ts';

describe('mesh config on the command line', () => {
  it('a change is a limit and a number, or "static", and nothing else', () => {
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

  it('changes keep the other limits, and a document that no node takes is refused', () => {
    const before = { batchRowsMax: 500, batchLingerMs: 4 };
    const changes = ['drain.batchRowsMax=static', 'drain.batchBytesMax=4096'].map(parseChange);
    assert.deepEqual(applyChanges(before, changes), { batchLingerMs: 4, batchBytesMax: 4096 });
    assert.deepEqual(before, { batchRowsMax: 500, batchLingerMs: 4 });
    assert.throws(() => applyChanges(before, [parseChange('drain.batchRowsMax=0')]), { code: 'usage' });
  });
});
