import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { parseReading, type RejectionReason } from './reading.ts';

const good = { deviceId: 'd1', seq: 7, measuredAt: '2026-01-02T03:04:05.678Z', celsius: 21.5 };
const bytes = (value: unknown) => Buffer.from(typeof value === 'string' ? value : JSON.stringify(value));

describe('thermostat.reading.v1', () => {
  it('reads ISO 8601 and Unix ms alike, and keeps unknown fields out', () => {
    const iso = parseReading(bytes({ ...good, firmware: 'x' }), 'd1');
    const unix = parseReading(bytes({ ...good, measuredAt: Date.parse(good.measuredAt) }), 'd1');
    assert.deepEqual(iso, unix);
    assert.deepEqual(iso, {
      reading: {
        deviceId: 'd1',
        seq: 7,
        measuredAtMs: Date.parse(good.measuredAt),
        celsius: 21.5,
        setpointCelsius: null,
        humidityPercent: null,
        heating: null,
      },
    });
  });

  const bad: [name: string, payload: Buffer, reason: RejectionReason][] = [
    ['not JSON', bytes('hello'), 'not_json'],
    ['not UTF-8', Buffer.from([0x22, 0xff, 0x22]), 'not_json'],
    ['empty', Buffer.alloc(0), 'not_json'],
    ['an array', bytes([1]), 'not_an_object'],
    ['null', bytes('null'), 'not_an_object'],
    ['huge', bytes({ ...good, pad: 'x'.repeat(5000) }), 'too_large'],
    ['another device', bytes({ ...good, deviceId: 'd2' }), 'device_mismatch'],
    ['NUL in the device id', bytes({ ...good, deviceId: 'd1\u0000' }), 'device_mismatch'],
    ['no seq', bytes({ ...good, seq: undefined }), 'bad_seq'],
    ['negative seq', bytes({ ...good, seq: -1 }), 'bad_seq'],
    ['seq over bigint', bytes('{"deviceId":"d1","seq":1e30,"measuredAt":0,"celsius":1}'), 'bad_seq'],
    ['a fraction as seq', bytes({ ...good, seq: 1.5 }), 'bad_seq'],
    ['year 300000 in ms', bytes({ ...good, measuredAt: 9.4e15 }), 'bad_measured_at'],
    ['year 300000 in ISO', bytes({ ...good, measuredAt: '+300000-01-01T00:00:00Z' }), 'bad_measured_at'],
    ['a date that is none', bytes({ ...good, measuredAt: '2026-13-45T00:00:00Z' }), 'bad_measured_at'],
    ['1e39 as real', bytes('{"deviceId":"d1","seq":1,"measuredAt":0,"celsius":1e39}'), 'bad_celsius'],
    ['below absolute zero', bytes({ ...good, celsius: -300 }), 'bad_celsius'],
    ['celsius as text', bytes({ ...good, celsius: '21' }), 'bad_celsius'],
    ['humidity over 100', bytes({ ...good, humidityPercent: 101 }), 'bad_humidity_percent'],
    ['a bad setpoint', bytes({ ...good, setpointCelsius: {} }), 'bad_setpoint_celsius'],
    ['heating as number', bytes({ ...good, heating: 1 }), 'bad_heating'],
  ];
  for (const [name, payload, reason] of bad) {
    it(`rejects ${name} as ${reason}`, () => {
      const result = parseReading(payload, 'd1');
      assert.ok('rejection' in result);
      assert.equal(result.rejection.reason, reason);
    });
  }

  it('rejects a topic that is not one device’s', () => {
    const result = parseReading(bytes(good), undefined);
    assert.ok('rejection' in result);
    assert.equal(result.rejection.reason, 'bad_topic');
  });

  it('never throws, whatever the bytes, and its details fit SQL text', () => {
    fc.assert(
      fc.property(
        fc.oneof(
          fc.uint8Array({ maxLength: 200 }),
          fc.json().map((text) => Buffer.from(text)),
        ),
        (payload) => {
          const result = parseReading(payload, 'd1');
          if ('rejection' in result) assert.ok(!result.rejection.detail.includes('\u0000'));
        },
      ),
    );
  });
});
