/** A heated room: one thermal mass that loses heat to the outside, a heater, a thermostat with hysteresis. */

export interface RoomState {
  celsius: number;
  heating: boolean;
}

export interface RoomTraits {
  /** Time after which 63 % of a difference to the outside is gone, without heating. */
  timeConstantHours: number;
  /** How fast the heater warms the room if nothing were lost. */
  heaterCelsiusPerHour: number;
  /** Half the width of the band around the setpoint in which the heater stays as it is. */
  hysteresisCelsius: number;
}

/**
 * The room `hours` later. The exact solution of dT/dt = (outside − T)/τ + heater, so that a step of any length (a simulator
 * that was paused) stays stable.
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

/** Coldest at 3, warmest at 15 o'clock. */
export function outsideCelsiusAt(hourOfDay: number, meanCelsius: number, swingCelsius: number): number {
  return meanCelsius + swingCelsius * Math.cos(((hourOfDay - 15) / 24) * 2 * Math.PI);
}

/** Night, morning, day, evening. */
export function setpointCelsiusAt(hourOfDay: number): number {
  if (hourOfDay < 6 || hourOfDay >= 22) return 17;
  if (hourOfDay < 8 || hourOfDay >= 16) return 21;
  return 19;
}

/** Relative humidity at a constant amount of water: warmer air holds more (about 6 % a degree). */
export function humidityPercentAt(celsius: number): number {
  return Math.min(100, Math.max(0, 45 * Math.exp(-0.06 * (celsius - 20))));
}

/** Hour of the day in UTC, with fractions. */
export function hourOfDayAt(unixMs: number): number {
  return (((unixMs % 86_400_000) + 86_400_000) % 86_400_000) / 3_600_000;
}
