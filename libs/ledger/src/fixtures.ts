/** Small ledgers and the rows that fit them, for tests. */
import { ackedLine, endLine, fingerprint, headerLine, poisonLine, sentLine } from './lines.ts';
import { createLedgerParser, type Ledger } from './parse.ts';
import type { LedgerHeader, RejectedRow, StoredRow } from './types.ts';

export const header: LedgerHeader = {
  runId: 'r1',
  mesh: '',
  startedAtMs: Date.UTC(2026, 0, 1),
  qos: 1,
  devicePrefix: 'load-r1-',
  devices: 3,
  options: {},
};

export const parseText = (text: string, chunkBytes = 1 << 20): Ledger => {
  const parser = createLedgerParser('test.ledger');
  const bytes = Buffer.from(text);
  for (let at = 0; at < bytes.length; at += chunkBytes) parser.feed(bytes.subarray(at, at + chunkBytes));
  return parser.finish();
};

/** Lines of a good reading: 21.57 °C, setpoint 20.5, no humidity, heating. */
export const sent = (device: number, number: number, atUs = 1000) =>
  sentLine({
    device,
    number,
    atUs,
    measuredAtMs: number * 10,
    celsius: '21.57',
    setpointCelsius: '20.5',
    humidityPercent: '',
    heating: '1',
  });
export const acked = (device: number, number: number, atUs = 3000) => ackedLine(device, number, atUs);

/** The row that PostgreSQL makes of {@link sent}. */
export const stored = (device: number, number: number, other: Partial<StoredRow> = {}): StoredRow => ({
  deviceId: `load-r1-${device}`,
  incarnation: 0,
  seq: number,
  measuredAtMs: header.startedAtMs + number * 10,
  receivedAtMs: header.startedAtMs + 2,
  committedAtMs: header.startedAtMs + 11,
  // As the driver reads a real: the shortest text that gives the same float32.
  celsius: 21.57,
  setpointCelsius: 20.5,
  humidityPercent: null,
  heating: true,
  ...other,
});

export const poisonBytes = (text: string) => Buffer.from(`no json ${text}`);
export const poison = (device: number, number: number, text: string) =>
  poisonLine({
    device,
    number,
    atUs: 1000,
    reason: 'not_json',
    sha: fingerprint(poisonBytes(text)),
    bytes: 9,
  });

export const rejected = (device: number, raw: Uint8Array, reason = 'not_json'): RejectedRow => ({
  deviceId: `load-r1-${device}`,
  seq: null,
  reason,
  raw,
});

/** The payload of {@link sent} as the device sent it. */
export const goodBytes = (device: number, number: number) =>
  Buffer.from(
    JSON.stringify({
      deviceId: `load-r1-${device}`,
      seq: number,
      measuredAt: header.startedAtMs + number * 10,
      celsius: 21.57,
      setpointCelsius: 20.5,
      heating: true,
    }),
  );

export const ledgerOf = (...lines: string[]): Ledger => parseText(headerLine(header) + lines.join(''));
export { endLine, headerLine };
