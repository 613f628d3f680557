/** The error codes of commands to devices. */
import { defineErrors } from '@thermomesh/runtime';

/** The closed list of codes, and the function that makes their errors. */
export const { codes: errorCodes, error: commandError } = defineErrors({
  /** The deadline is in the past, too near or too far, or given twice. */
  'command.bad_deadline': { retriable: false, http: 400 },
  /** The Idempotency-Key is malformed. */
  'command.bad_key': { retriable: false, http: 400 },
  /** The kind of the command needs another parameter, or does not take one. */
  'command.bad_parameters': { retriable: false, http: 400 },
  /** PostgreSQL does not answer. */
  'command.database_down': { retriable: false, http: 503 },
  /** PostgreSQL could lose what it commits, or a pooler mixes the sessions. */
  'command.database_unsafe': { retriable: false, http: 503 },
  /** The command is final and cannot be cancelled. */
  'command.final': { retriable: false, http: 409 },
  /** The request has no Idempotency-Key. */
  'command.missing_key': { retriable: false, http: 400 },
  /** The database lacks the schema of commands. */
  'command.no_schema': { retriable: false, http: 503 },
  /** The settings name no database. */
  'command.off': { retriable: false, http: 503 },
  /** The Idempotency-Key was used with other parameters. */
  'command.other_parameters': { retriable: false, http: 422 },
  /** The device has too many open commands. */
  'command.queue_full': { retriable: false, http: 429 },
  /** The limit of all event streams is reached. */
  'command.too_many_streams': { retriable: false, http: 503 },
  /** The limit of event streams of one API key is reached. */
  'command.too_many_streams_of_key': { retriable: false, http: 429 },
  /** The device has no command with this id. */
  'command.unknown': { retriable: false, http: 404 },
});

export type CommandErrorCode = keyof typeof errorCodes;
