/** Formats the lines of a ledger (README: "The file"). */
import { createHash } from 'node:crypto';
import type { LedgerEnd, LedgerHeader, PoisonLine, SentLine } from './types.ts';

/** The format in the header; a reader refuses any other. */
export const ledgerFormat = 'thermomesh.ledger.v1';

export function headerLine(header: LedgerHeader): string {
  return `H ${JSON.stringify({ format: ledgerFormat, ...header })}\n`;
}

export function sentLine(line: SentLine): string {
  return (
    `S,${line.device},${line.number},${line.atUs},${line.measuredAtMs},` +
    `${line.celsius},${line.setpointCelsius},${line.humidityPercent},${line.heating}\n`
  );
}

export function poisonLine(line: PoisonLine): string {
  return `P,${line.device},${line.number},${line.atUs},${line.reason},${line.sha},${line.bytes}\n`;
}

export function ackedLine(device: number, number: number, atUs: number): string {
  return `A,${device},${number},${atUs}\n`;
}

export function resentLine(device: number, number: number, atUs: number): string {
  return `R,${device},${number},${atUs}\n`;
}

export function endLine(end: LedgerEnd): string {
  return `E ${JSON.stringify(end)}\n`;
}

/** Length of a fingerprint. */
export const fingerprintDigits = 16;

/**
 * The fingerprint that identifies a poison message: the first 16 hex digits of the SHA-256 of its
 * bytes.
 */
export function fingerprint(raw: Uint8Array): string {
  return createHash('sha256').update(raw).digest('hex').slice(0, fingerprintDigits);
}
