import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { parseReading, timeSeqMin, type RejectionReason } from './reading.ts';

const good = { deviceId: 'd1', seq: 7, measuredAt: '2026-01-02T03:04:05.678Z', celsius: 21.5 };
const bytes = (value: unknown) => Buffer.from(typeof value === 'string' ? value : JSON.stringify(value));

describe('thermostat.reading.v1', () => {
  it('a time may be ISO 8601 or Unix ms, and unknown fields are dropped', () => {
    const iso = parseReading(bytes(good), 'd1');
    assert.deepEqual(parseReading(bytes({ ...good, firmware: 'x' }), 'd1'), {
      ...iso,
      unknownFields: ['firmware'],
    });
    const many = Object.fromEntries(Array.from({ length: 20 }, (_, n) => [`${'x'.repeat(90)}${n}`, n]));
    const bounded = parseReading(bytes({ ...good, ...many }), 'd1') as { unknownFields: string[] };
    assert.deepEqual(bounded.unknownFields, Array(4).fill('x'.repeat(64)));
    const unix = parseReading(bytes({ ...good, measuredAt: Date.parse(good.measuredAt) }), 'd1');
    assert.deepEqual(iso, unix);
    assert.deepEqual(iso, {
      reading: {
        deviceId: 'd1',
        incarnation: 0,
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
    ['null as seq', bytes({ ...good, seq: null }), 'bad_seq'],
    ['no seq and no time', bytes({ ...good, seq: undefined, measuredAt: undefined }), 'bad_measured_at'],
    ['negative seq', bytes({ ...good, seq: -1 }), 'bad_seq'],
    ['seq over bigint', bytes('{"deviceId":"d1","seq":1e30,"measuredAt":0,"celsius":1}'), 'bad_seq'],
    ['a fraction as seq', bytes({ ...good, seq: 1.5 }), 'bad_seq'],
    ['year 300000 in ms', bytes({ ...good, measuredAt: 9.4e15 }), 'bad_measured_at'],
    ['year 300000 in ISO', bytes({ ...good, measuredAt: '+300000-01-01T00:00:00Z' }), 'bad_measured_at'],
    ['a date that is none', bytes({ ...good, measuredAt: '2026-13-45T00:00:00Z' }), 'bad_measured_at'],
    ['30 February', bytes({ ...good, measuredAt: '2026-02-30T12:00:00Z' }), 'bad_measured_at'],
    ['Unix seconds', bytes({ ...good, measuredAt: 1_796_046_081 }), 'bad_measured_at'],
    ['a time without a zone', bytes({ ...good, measuredAt: '2026-01-02T03:04:05' }), 'bad_measured_at'],
    ['January 1970', bytes({ ...good, measuredAt: 60_000 }), 'bad_measured_at'],
    ['1e39 as real', bytes('{"deviceId":"d1","seq":1,"measuredAt":0,"celsius":1e39}'), 'bad_celsius'],
    ['below absolute zero', bytes({ ...good, celsius: -300 }), 'bad_celsius'],
    ['celsius as text', bytes({ ...good, celsius: '21' }), 'bad_celsius'],
    ['humidity over 100', bytes({ ...good, humidityPercent: 101 }), 'bad_humidity_percent'],
    ['a bad setpoint', bytes({ ...good, setpointCelsius: {} }), 'bad_setpoint_celsius'],
    ['a negative incarnation', bytes({ ...good, incarnation: -1 }), 'bad_incarnation'],
    ['an incarnation as text', bytes({ ...good, incarnation: '2' }), 'bad_incarnation'],
    ['null as incarnation', bytes({ ...good, incarnation: null }), 'bad_incarnation'],
    ['an incarnation over 2^53', bytes({ ...good, incarnation: 1e300 }), 'bad_incarnation'],
    ['seq named twice', bytes(`{"seq":6,${JSON.stringify(good).slice(1)}`), 'repeated_field'],
    [
      'celsius named twice, once escaped',
      bytes(`{"\\u0063elsius":1,"note":"a\\"b",${JSON.stringify(good).slice(1)}`),
      'repeated_field',
    ],
    ['two documents', bytes(`${JSON.stringify(good)} ${JSON.stringify(good)}`), 'not_json'],
    ['UTF-16', Buffer.from(JSON.stringify(good), 'utf16le'), 'not_json'],
    ['nothing but brackets', bytes('['.repeat(4096)), 'not_json'],
    ['NaN', bytes('{"deviceId":"d1","seq":1,"measuredAt":0,"celsius":NaN}'), 'not_json'],
    ['1e400', bytes('{"deviceId":"d1","seq":1,"measuredAt":0,"celsius":1e400}'), 'bad_celsius'],
    ['fields in the prototype', bytes(`{"__proto__":${JSON.stringify(good)}}`), 'device_mismatch'],
    ['a device id in capitals', bytes({ ...good, deviceId: 'D1' }), 'device_mismatch'],
    ['a device id with a space', bytes({ ...good, deviceId: 'd1 ' }), 'device_mismatch'],
    ['Unix ms as text', bytes({ ...good, measuredAt: '1767323045678' }), 'bad_measured_at'],
    ['Unix microseconds', bytes({ ...good, measuredAt: 1_767_323_045_678_000 }), 'bad_measured_at'],
    ['hour 24', bytes({ ...good, measuredAt: '2026-01-02T24:00:00Z' }), 'bad_measured_at'],
    ['a date of a week', bytes({ ...good, measuredAt: '2026-W01-5T03:04:05Z' }), 'bad_measured_at'],
    ['a second 60 at noon', bytes({ ...good, measuredAt: '2026-01-02T12:00:60Z' }), 'bad_measured_at'],
    ['heating as number', bytes({ ...good, heating: 1 }), 'bad_heating'],
  ];
  for (const [name, payload, reason] of bad) {
    it(`rejects ${name} as ${reason}`, () => {
      const result = parseReading(payload, 'd1');
      assert.ok('rejection' in result);
      assert.equal(result.rejection.reason, reason);
    });
  }

  it('4096 bytes are accepted, 4097 are not, and unknown fields may repeat', () => {
    const head = `${JSON.stringify(good).slice(0, -1)},"x":1,"x":{"seq":1,"seq":2},"pad":"`;
    const padded = (size: number) => Buffer.from(`${head}${'x'.repeat(size - head.length - 2)}"}`);
    const [exact, above] = [4096, 4097].map((size) => parseReading(padded(size), 'd1'));
    assert.ok(exact !== undefined && 'reading' in exact);
    assert.ok(above !== undefined && 'rejection' in above && above.rejection.reason === 'too_large');
  });

  it('a time in seconds is rejected with a detail that names seconds', () => {
    const result = parseReading(bytes({ ...good, measuredAt: 1_796_046_081 }), 'd1');
    assert.ok('rejection' in result);
    assert.match(result.rejection.detail, /^measuredAt looks like Unix seconds/);
  });

  it('a reading names the incarnation of its device, 0 if it names none', () => {
    for (const [incarnation, expected] of [
      [undefined, 0],
      [0, 0],
      [7, 7],
    ]) {
      const result = parseReading(bytes({ ...good, incarnation }), 'd1');
      assert.ok('reading' in result);
      assert.equal(result.reading.incarnation, expected);
    }
  });

  it('a reading without seq has the Unix ms of measuredAt as its seq', () => {
    const seqless = { ...good, seq: undefined };
    const first = parseReading(bytes(seqless), 'd1');
    assert.ok('reading' in first);
    assert.equal(first.reading.seq, Date.parse(good.measuredAt));
    assert.ok(first.reading.seq >= timeSeqMin);
    const again = parseReading(bytes({ ...seqless, measuredAt: Date.parse(good.measuredAt) }), 'd1');
    assert.deepEqual(again, first, 'the same time in the other form is the same reading');
  });

  it('a reading on a topic that is not one device’s is rejected', () => {
    const result = parseReading(bytes(good), undefined);
    assert.ok('rejection' in result);
    assert.equal(result.rejection.reason, 'bad_topic');
  });

  it('no payload makes the parser throw, and its details fit SQL text', () => {
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
