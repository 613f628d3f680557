/** The readings of a load run: the values for each device and number, and their payload. */
import { hash32 } from './random.ts';

/** A reading as texts, for the payload and the ledger; '' means that a value is absent. */
export interface LoadReading {
  measuredAtMs: number;
  celsius: string;
  setpointCelsius: string;
  humidityPercent: string;
  heating: '' | '0' | '1';
}

// 15.00 to 25.23 °C. Formatting a double costs more than all the rest, so it is done once.
const celsiusTexts = Array.from({ length: 1024 }, (_, index) => (15 + index / 100).toFixed(2));
const setpointTexts = ['18', '19.5', '20', '21.5'];

/**
 * Returns reading `number` of device `device`. One in four has all optional values, one in four has
 * some and the others have none, so that absent values are verified too.
 */
export function readingOf(seed: number, device: number, number: number, measuredAtMs: number): LoadReading {
  const bits = hash32(seed + device, number);
  const shape = (device + number) % 4;
  return {
    measuredAtMs,
    celsius: celsiusTexts[bits & 1023] ?? '',
    setpointCelsius: shape < 2 ? (setpointTexts[(bits >>> 10) & 3] ?? '') : '',
    humidityPercent: shape === 0 ? String(30 + ((bits >>> 12) & 31)) : '',
    heating: shape < 2 ? ((bits >>> 17) & 1 ? '1' : '0') : '',
  };
}

/** Returns the JSON of a reading. Ids that `isDeviceId` accepts need no escaping. */
export function payloadOf(deviceId: string, seq: number, reading: LoadReading): string {
  let text = `{"deviceId":"${deviceId}","seq":${seq},"measuredAt":${reading.measuredAtMs},"celsius":${reading.celsius}`;
  if (reading.setpointCelsius !== '') text += `,"setpointCelsius":${reading.setpointCelsius}`;
  if (reading.humidityPercent !== '') text += `,"humidityPercent":${reading.humidityPercent}`;
  if (reading.heating !== '') text += `,"heating":${reading.heating === '1' ? 'true' : 'false'}`;
  return `${text}}`;
}
