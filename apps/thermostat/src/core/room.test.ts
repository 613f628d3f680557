import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { hourOfDayAt, humidityPercentAt, outsideCelsiusAt, setpointCelsiusAt, stepRoom } from './room.ts';

const traits = { timeConstantHours: 20, heaterCelsiusPerHour: 3, hysteresisCelsius: 0.3 };
const celsius = fc.double({ min: -30, max: 45, noNaN: true });
const hours = fc.double({ min: 0, max: 10_000, noNaN: true });

describe('a room', () => {
  it('an unheated room never gets colder or warmer than the outside', () => {
    fc.assert(
      fc.property(celsius, celsius, hours, (start, outside, dt) => {
        const after = stepRoom({ celsius: start, heating: false }, traits, outside, -100, dt).celsius;
        assert.ok(after >= Math.min(start, outside) - 1e-9 && after <= Math.max(start, outside) + 1e-9);
      }),
    );
  });

  it('one step of a room equals two half steps', () => {
    fc.assert(
      fc.property(
        celsius,
        celsius,
        fc.boolean(),
        fc.double({ min: 0, max: 48, noNaN: true }),
        (start, outside, heating, dt) => {
          // A setpoint far away keeps the heater from switching.
          const setpoint = heating ? 1000 : -1000;
          const whole = stepRoom({ celsius: start, heating }, traits, outside, setpoint, dt);
          const half = stepRoom(
            stepRoom({ celsius: start, heating }, traits, outside, setpoint, dt / 2),
            traits,
            outside,
            setpoint,
            dt / 2,
          );
          assert.ok(Math.abs(whole.celsius - half.celsius) < 1e-6);
        },
      ),
    );
  });

  it('the thermostat keeps a room near its setpoint through a cold day', () => {
    let room = { celsius: 20, heating: false };
    for (let minute = 0; minute < 24 * 60; minute++) {
      const hour = minute / 60;
      room = stepRoom(room, traits, outsideCelsiusAt(hour, 0, 5), 20, 1 / 60);
      assert.ok(Math.abs(room.celsius - 20) < 0.5, `${room.celsius} at ${hour}`);
    }
  });

  it('the heater does not switch within the band of the hysteresis', () => {
    for (const heating of [true, false]) {
      assert.equal(stepRoom({ celsius: 20.2, heating }, traits, 20.2, 20, 0).heating, heating);
    }
    assert.equal(stepRoom({ celsius: 19, heating: false }, traits, 19, 20, 0).heating, true);
    assert.equal(stepRoom({ celsius: 21, heating: true }, traits, 21, 20, 0).heating, false);
  });

  it('the values of a room are valid in a reading', () => {
    fc.assert(
      fc.property(fc.integer({ min: -1e12, max: 4e12 }), celsius, (ms, value) => {
        const hour = hourOfDayAt(ms);
        assert.ok(hour >= 0 && hour < 24);
        assert.ok([17, 19, 21].includes(setpointCelsiusAt(hour)));
        assert.ok(humidityPercentAt(value) >= 0 && humidityPercentAt(value) <= 100);
      }),
    );
  });
});
