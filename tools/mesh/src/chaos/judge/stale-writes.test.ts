import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { summarise } from '../../durations.ts';
import { countEvents, metricValue } from './stale-writes.ts';

describe('chaos', () => {
  it('percentiles are values that were measured', () => {
    assert.equal(summarise([]), null);
    assert.deepEqual(summarise([7]), { n: 1, p50: 7, p99: 7, max: 7 });
    assert.deepEqual(summarise([4, 1, 3, 2]), { n: 4, p50: 2, p99: 4, max: 4 });
  });

  it('refused writes of earlier runs do not count', () => {
    const line = (time: string, event: string) => JSON.stringify({ time, event });
    const log = [
      line('2026-01-01T00:00:00.000Z', 'drain.stale_write_refused'),
      line('2026-01-01T00:00:02.000Z', 'drain.stale_write_refused'),
      line('2026-01-01T00:00:03.000Z', 'drain.batch'),
      '{"time":"2026-01-01T00:00:04.000Z","event":"drain.stale_wri',
    ].join('\n');
    assert.equal(countEvents(log, '2026-01-01T00:00:01.000Z'), 1);
  });

  it('the metric is summed over its labels, and longer names are left out', () => {
    const text = [
      '# HELP thermomesh_stale_writes_refused_total x',
      'thermomesh_stale_writes_refused_total{reason="a"} 2',
      'thermomesh_stale_writes_refused_total{reason="b"} 3',
      'thermomesh_stale_writes_refused_total_other 9',
    ].join('\n');
    assert.equal(metricValue(text), 5);
  });
});
