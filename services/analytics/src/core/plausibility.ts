/**
 * Which readings cannot be right although they are well-formed. Sensors report their errors as
 * values: −127 °C means a sensor that does not answer, 85 °C one that was just switched on, 998.9
 * °C a broken wire. Such readings are stored, marked, and left out of averages.
 */
import type { Reading } from '@thermomesh/contracts';

/** The values that a sensor of this fleet can measure, both ends included. */
export interface PlausibleLimits {
  celsiusMin: number;
  celsiusMax: number;
  humidityPercentMin: number;
  humidityPercentMax: number;
}

/** Default limits: those of rooms. */
export const plausibleRoom: PlausibleLimits = {
  celsiusMin: -40,
  celsiusMax: 70,
  humidityPercentMin: 1,
  humidityPercentMax: 100,
};

/** True if a measured value is outside the limits. The setpoint is not measured. */
export function isImplausible(
  { celsius, humidityPercent }: Pick<Reading, 'celsius' | 'humidityPercent'>,
  limits: PlausibleLimits,
): boolean {
  if (celsius < limits.celsiusMin || celsius > limits.celsiusMax) return true;
  return (
    humidityPercent !== null &&
    (humidityPercent < limits.humidityPercentMin || humidityPercent > limits.humidityPercentMax)
  );
}
