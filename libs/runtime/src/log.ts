/** Structured logs: one JSON object a line, `event` names the fact in the past tense, secrets are redacted. */
import { pino, type DestinationStream, type Logger } from 'pino';

export type Log = Logger;

/** Fields that never reach a log line, wherever they stand in the object. */
export const redactedFields = [
  'password',
  'secret',
  'token',
  'authorization',
  'apiKey',
  'paymentToken',
  'databaseUrl',
];

/**
 * A logger for one process.
 * @param name the process, as in `mesh status`
 * @param level pino's level name
 */
export function createLog(name: string, level: string, destination?: DestinationStream): Log {
  const paths = redactedFields.flatMap((field) => [field, `*.${field}`, `*.*.${field}`, `*.*.*.${field}`]);
  const options = {
    name,
    level,
    base: { name, pid: process.pid },
    timestamp: pino.stdTimeFunctions.isoTime,
    redact: { paths, censor: '[redacted]' },
    formatters: { level: (label: string) => ({ level: label }) },
  };
  return destination === undefined ? pino(options) : pino(options, destination);
}
