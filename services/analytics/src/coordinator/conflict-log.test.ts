import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { createLog } from '@thermomesh/runtime';
import { toEntry, type Entry } from '../core/batch.ts';
import { conflictLogIntervalMs, createConflictLog } from './conflict-log.ts';

function conflict(deviceId: string): Entry {
  const header = { log: Buffer.alloc(16), logId: 1, previousLogId: 0, receivedAtMs: 1 };
  const entry = toEntry(`thermostat/data/${deviceId}`, { ...header, payload: Buffer.from('{}') });
  return { ...entry, parsed: { rejection: { reason: 'seq_conflict', detail: '', seq: 1 } } };
}

describe('the log of seq conflicts', () => {
  it('a fleet that counts again adds one line a minute, which names five devices', () => {
    const lines: Record<string, unknown>[] = [];
    const log = createLog('test', 'info', {
      write: (line: string) => void lines.push(JSON.parse(line) as never),
    });
    let nowMs = 0;
    const conflicts = createConflictLog(log, () => nowMs);
    const fleet = Array.from({ length: 20 }, (_, n) => conflict(`d${n}`));
    conflicts.note(fleet);
    for (nowMs = 1; nowMs < conflictLogIntervalMs; nowMs += 1000) conflicts.note(fleet);
    assert.equal(lines.length, 1);
    assert.deepEqual(
      [lines[0]!['event'], lines[0]!['devices'], lines[0]!['named']],
      ['drain.seq_conflicts', 20, ['d0', 'd1', 'd2', 'd3', 'd4']],
    );
    nowMs = conflictLogIntervalMs;
    conflicts.note([conflict('d7')]);
    assert.equal(lines.length, 2);
    assert.equal(lines[1]!['readings'], 60 * 20 + 1, 'nothing is left out of the count');
  });

  it('other rejections are not named', () => {
    const lines: string[] = [];
    const log = createLog('test', 'info', { write: (line: string) => void lines.push(line) });
    const entry = conflict('d1');
    createConflictLog(log, () => 0).note([
      { ...entry, parsed: { rejection: { reason: 'not_json', detail: '', seq: null } } },
    ]);
    assert.deepEqual(lines, []);
  });
});
