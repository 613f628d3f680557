/**
 * The model of a heated room: one thermal mass that loses heat to the outside, a heater, and a
 * thermostat with hysteresis.
 */

/** The present state of a room. */
export interface RoomState {
  celsius: number;
  heating: boolean;
}

/** The constants of a room. */
export interface RoomTraits {
  /** Time after which 63 % of the difference to the outside is gone without heating. */
  timeConstantHours: number;
  /** How fast the heater would warm the room without any loss. */
  heaterCelsiusPerHour: number;
  /** Half the width of the band around the setpoint in which the heater does not switch. */
  hysteresisCelsius: number;
}

/**
 * Returns the state of the room `hours` later. It uses the exact solution of
 * dT/dt = (outside − T)/τ + heater, so a step of any length is stable, as after a paused simulator.
 */
export function stepRoom(
  room: RoomState,
  traits: RoomTraits,
  outsideCelsius: number,
  setpointCelsius: number,
  hours: number,
): RoomState {
  const { timeConstantHours, heaterCelsiusPerHour, hysteresisCelsius } = traits;
  const target = outsideCelsius + (room.heating ? heaterCelsiusPerHour * timeConstantHours : 0);
  const celsius = target + (room.celsius - target) * Math.exp(-hours / timeConstantHours);
  const heating =
    celsius < setpointCelsius - hysteresisCelsius
      ? true
      : celsius > setpointCelsius + hysteresisCelsius
        ? false
        : room.heating;
  return { celsius, heating };
}

/** Returns the outside temperature: coldest at 3 o'clock, warmest at 15 o'clock. */
export function outsideCelsiusAt(hourOfDay: number, meanCelsius: number, swingCelsius: number): number {
  return meanCelsius + swingCelsius * Math.cos(((hourOfDay - 15) / 24) * 2 * Math.PI);
}

/** Returns the setpoint of the schedule: night, morning, day, evening. */
export function setpointCelsiusAt(hourOfDay: number): number {
  if (hourOfDay < 6 || hourOfDay >= 22) return 17;
  if (hourOfDay < 8 || hourOfDay >= 16) return 21;
  return 19;
}

/**
 * Returns the relative humidity for a constant amount of water. Warmer air holds more water, about
 * 6 % per degree.
 */
export function humidityPercentAt(celsius: number): number {
  return Math.min(100, Math.max(0, 45 * Math.exp(-0.06 * (celsius - 20))));
}

/** Returns the hour of the day in UTC, with fractions. */
export function hourOfDayAt(unixMs: number): number {
  return (((unixMs % 86_400_000) + 86_400_000) % 86_400_000) / 3_600_000;
}
