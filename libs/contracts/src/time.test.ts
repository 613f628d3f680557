import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { parseTime, parseTimeText, plausibleTimes } from './time.ts';

const noon = Date.UTC(2026, 0, 1, 12);
const problemOf = (value: unknown) => {
  const parsed = parseTime(value);
  return 'problem' in parsed ? parsed.problem : undefined;
};

describe('a time', () => {
  it('is RFC 3339 with a zone, or Unix milliseconds', () => {
    for (const value of ['2026-01-01T12:00:00Z', '2026-01-01t13:30:00.000+01:30', '2026-01-01T12:00Z', noon])
      assert.deepEqual(parseTime(value), { ms: noon }, String(value));
    assert.deepEqual(parseTime('2026-01-01T12:00:00.123456789Z'), { ms: noon + 123 });
    assert.deepEqual(parseTime(noon + 0.9), { ms: noon });
    assert.deepEqual(parseTime('2016-12-31T23:59:60Z'), { ms: Date.UTC(2017, 0, 1) });
    assert.deepEqual(parseTime('2024-02-29T00:00:00-00:01'), { ms: Date.UTC(2024, 1, 29, 0, 1) });
  });

  it('with a day that does not exist is refused, not moved to another day', () => {
    for (const day of [
      '2026-02-30',
      '2026-02-29',
      '2100-02-29',
      '2026-04-31',
      '2026-13-01',
      '2026-00-10',
      '2026-01-00',
    ])
      assert.match(problemOf(`${day}T12:00:00Z`) ?? '', /day that does not exist/, day);
  });

  it('with an hour, minute, second or zone that does not exist is refused', () => {
    for (const time of ['24:00:00Z', '12:60:00Z', '12:00:61Z'])
      assert.match(problemOf(`2026-01-01T${time}`) ?? '', /time of day/, time);
    for (const zone of ['+24:00', '-01:60'])
      assert.match(problemOf(`2026-01-01T12:00:00${zone}`) ?? '', /zone/);
  });

  it('with a second 60 that is no leap second is refused, not moved on', () => {
    assert.deepEqual(parseTime('2017-01-01T05:29:60.5+05:30'), { ms: Date.UTC(2017, 0, 1) + 500 });
    for (const text of ['2026-05-15T12:30:60Z', '2026-05-15T23:59:60Z', '2016-12-31T23:59:60+01:00'])
      assert.match(problemOf(text) ?? '', /time of day/, text);
  });

  it('with a fraction of any length is cut, not refused and not rounded up', () => {
    assert.deepEqual(parseTime('2026-01-01T12:00:00.123456789012Z'), { ms: noon + 123 });
    assert.deepEqual(parseTime(`2026-01-01T12:00:00.${'9'.repeat(30)}Z`), { ms: noon + 999 });
    assert.deepEqual(parseTime('2026-01-01T12:00:00.5Z'), { ms: noon + 500 });
  });

  it('in seconds is refused with a reason that names seconds', () => {
    assert.match(problemOf(1_796_046_081) ?? '', /seconds/);
    assert.match(problemOf(noon / 1000) ?? '', /seconds/);
  });

  it('outside the plausible years is refused', () => {
    for (const value of [
      0,
      -1,
      1,
      253_402_214_400_000,
      1e300,
      NaN,
      Infinity,
      '1999-12-31T23:59:59Z',
      '0001-01-01T00:00:00Z',
    ])
      assert.match(
        problemOf(value) ?? '',
        /must be a time from 2000-01-01T00:00:00.000Z to 2099-12-31T23:59:59.999Z/,
        String(value),
      );
    assert.deepEqual(parseTime('1999-12-31T23:59:59Z', { ...plausibleTimes, minMs: 0 }), {
      ms: Date.UTC(2000, 0, 1) - 1000,
    });
  });

  it('without a zone is refused with exactly that', () => {
    for (const text of ['2026-05-31T23:30:00', '2026-05-31T23:30', '2026-05-31T23:30:00.5'])
      assert.equal(problemOf(text), 'has no zone: end it with Z or an offset such as +02:00', text);
  });

  it('in any other form is refused', () => {
    const others = ['2026', '1 Jan', '20260101T120000Z', '2026-01-01 12:00:00Z', '', 'now', null, true];
    for (const value of [...others, [noon], { ms: noon }, '1767268800000', '2026-01-01T12:00:00+0100'])
      assert.match(
        problemOf(value) ?? '',
        /RFC 3339 with a zone, or Unix milliseconds/,
        JSON.stringify(value),
      );
  });

  it('that Date prints is read back, to the millisecond', () =>
    fc.assert(
      fc.property(fc.integer({ min: plausibleTimes.minMs, max: plausibleTimes.maxMs }), (ms) => {
        assert.deepEqual(parseTime(new Date(ms).toISOString()), { ms });
        assert.deepEqual(parseTimeText(String(ms)), { ms });
      }),
    ));
});

it('a zone whose plus became a space in a URL is refused with a hint', () => {
  const parsed = parseTimeText('2026-01-01T12:00:00 02:00');
  assert.match('problem' in parsed ? parsed.problem : '', /%2B/);
});

it('the text of a query may hold whole milliseconds, nothing like a number otherwise', () => {
  assert.deepEqual(parseTimeText(String(noon)), { ms: noon });
  for (const text of ['1.5', '-1', '1e12', ` ${noon}`, '0x10', '2026-02-30', '2026'])
    assert.ok('problem' in parseTimeText(text), text);
});
