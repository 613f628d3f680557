/** The closed list of the error codes of the thermostats. */
import { defineErrors } from '@thermomesh/runtime';

export const { codes: errorCodes, error: thermostatError } = defineErrors({
  /** The user asked for `--help`; the message is the help text. */
  'config.help': { retriable: false },
  /** The arguments are invalid; the message lists every issue. */
  'config.invalid': { retriable: false },
  /** The state file of a fleet cannot be read. */
  'fleet.state_damaged': { retriable: false },
  /** No device of a load run could connect to the broker. */
  'load.no_broker': { retriable: true },
  /** The limit of open files is too low for the number of devices. */
  'load.open_files': { retriable: false },
  /** The broker refused the credentials of a device. */
  'load.refused': { retriable: false },
});
