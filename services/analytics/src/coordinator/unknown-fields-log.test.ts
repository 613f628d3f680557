import assert from 'node:assert/strict';
import { it } from 'node:test';
import { createLog, createMetrics } from '@thermomesh/runtime';
import { toEntry, type Entry } from '../core/batch.ts';
import { createDrainMetrics } from '../metrics.ts';
import { createUnknownFieldsLog, unknownFieldsLogIntervalMs } from './unknown-fields-log.ts';

function entry(deviceId: string, more: object): Entry {
  const reading = { deviceId, seq: 1, measuredAt: '2026-01-01T00:00:00Z', celsius: 20, ...more };
  const payload = Buffer.from(JSON.stringify(reading));
  const header = { log: Buffer.alloc(16), logId: 1, previousLogId: 0, receivedAtMs: 1, payload };
  return toEntry(`thermostat/data/${deviceId}`, header);
}

it('unknown fields are counted, and a line a minute names fields and devices', async () => {
  const lines: Record<string, unknown>[] = [];
  const log = createLog('test', 'info', {
    write: (line: string) => void lines.push(JSON.parse(line) as never),
  });
  const metrics = createMetrics({ defaults: false });
  const { unknownFields } = createDrainMetrics(metrics);
  let nowMs = 0;
  const unknown = createUnknownFieldsLog(log, unknownFields, () => nowMs);
  unknown.note([entry('d1', {})]);
  assert.deepEqual(lines, []);
  const batch = [entry('d1', { celcius: 3 }), entry('d2', {}), entry('d3', { battery: 1, rssi: -70 })];
  for (nowMs = 0; nowMs < unknownFieldsLogIntervalMs; nowMs += 1000) unknown.note(batch);
  assert.equal(lines.length, 1);
  const { event, readings, fields, named } = lines[0]!;
  assert.deepEqual(
    [event, readings, fields, named],
    ['drain.unknown_fields', 2, ['celcius', 'battery', 'rssi'], ['d1', 'd3']],
  );
  nowMs = unknownFieldsLogIntervalMs;
  unknown.note(batch);
  assert.equal(lines[1]!['readings'], 120, 'nothing is left out of the count');
  assert.match(await metrics.registry.metrics(), /readings_with_unknown_fields_total 122/);
});
