import assert from 'node:assert/strict';
import { it } from 'node:test';
import { csvLine } from './export.ts';

it('a line of CSV has times in UTC, and nothing for an absent value', () => {
  const reading = {
    incarnation: 0,
    seq: 7,
    measuredAtMs: 0,
    receivedAtMs: 1_000,
    celsius: 20.5,
    setpointCelsius: null,
    humidityPercent: 40,
    heating: false,
    implausible: false,
  };
  assert.equal(
    csvLine('d1', reading),
    'd1,0,7,1970-01-01T00:00:00.000Z,1970-01-01T00:00:01.000Z,20.5,,40,false,false',
  );
});
