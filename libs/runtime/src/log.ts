/**
 * Structured logs: one JSON object a line. `event` names a fact in the past tense; secrets are
 * redacted.
 */
import { pino, type DestinationStream, type Logger } from 'pino';
import { currentRequestId } from './request-context.ts';

export type Log = Logger;

/** Fields whose values are redacted, at the top of the object and up to three levels below. */
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
 * Makes the logger of one process. Lines that are written while an HTTP request is handled carry
 * its `requestId`.
 * @param name the name of the process, as in `mesh status`
 * @param level pino's level name
 */
export function createLog(name: string, level: string, destination?: DestinationStream): Log {
  const paths = redactedFields.flatMap((field) => [field, `*.${field}`, `*.*.${field}`, `*.*.*.${field}`]);
  const options = {
    name,
    level,
    base: { name, pid: process.pid },
    mixin: () => {
      const requestId = currentRequestId();
      return requestId === undefined ? {} : { requestId };
    },
    timestamp: pino.stdTimeFunctions.isoTime,
    redact: { paths, censor: '[redacted]' },
    formatters: { level: (label: string) => ({ level: label }) },
  };
  return destination === undefined ? pino(options) : pino(options, destination);
}
