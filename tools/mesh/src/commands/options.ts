/** Options that several commands share, and parsers of their values. */
import { isDeviceId, operatorUsername } from '@thermomesh/contracts';
import { InvalidArgumentError, type Command } from 'commander';
import { meshError } from '../errors.ts';
import { variableIssue } from '../local/variables.ts';

export interface NameOption {
  name: string;
}
export interface OutputOptions extends NameOption {
  json?: boolean;
}

/** Adds `--name`. */
export function withName(command: Command): Command {
  return command.option('--name <mesh>', 'name of the mesh; several meshes can run side by side', 'main');
}

/** Adds `--name` and `--json`. */
export function withOutput(command: Command): Command {
  return withName(command).option('--json', 'print exactly one JSON document on stdout');
}

/**
 * Parses a whole number from `min` to `max`.
 * @throws InvalidArgumentError
 */
export function wholeNumber(min: number, max: number): (text: string) => number {
  return (text) => {
    const value = Number(text);
    if (!/^\d+$/.test(text) || value < min || value > max) {
      throw new InvalidArgumentError(`must be a whole number from ${min} to ${max}.`);
    }
    return value;
  };
}

/**
 * Parses a decimal number from `min` to `max`, without sign and exponent.
 * @throws InvalidArgumentError
 */
export function numberWithin(min: number, max: number): (text: string) => number {
  return (text) => {
    const value = Number(text);
    if (!/^\d+(\.\d+)?$/.test(text) || value < min || value > max) {
      throw new InvalidArgumentError(`must be a number from ${min} to ${max}.`);
    }
    return value;
  };
}

export const portNumber = wholeNumber(1, 65_535);

/**
 * Parses `<process>:KEY=VALUE` and adds it to the variables of earlier options.
 * @throws InvalidArgumentError
 */
export function collectEnv(
  text: string,
  previous: Record<string, Record<string, string>> = {},
): Record<string, Record<string, string>> {
  const match = /^([a-z0-9-]+):([A-Za-z_][A-Za-z0-9_]*)=([\s\S]*)$/.exec(text);
  const [, process, key, value] = match ?? [];
  if (process === undefined || key === undefined || value === undefined) {
    throw new InvalidArgumentError('must read <process>:KEY=VALUE, such as node-5:LOG_LEVEL=debug.');
  }
  const issue = variableIssue(process, key);
  if (issue !== undefined) throw new InvalidArgumentError(issue);
  return { ...previous, [process]: { ...previous[process], [key]: value } };
}

/**
 * Checks the device id of a command.
 * @param isFree returns whether a device can have this id
 * @throws MeshError `usage`
 */
export function checkDeviceId(device: string, isFree: (device: string) => boolean): void {
  if (!isDeviceId(device))
    throw meshError(
      'usage',
      `"${device}" is not a device id: 1 to 64 of A-Z a-z 0-9 _ . -, of which the first is a letter or digit`,
    );
  if (device === operatorUsername)
    throw meshError(
      'usage',
      '"operator" is not a device, so it has no device token: an operator calls the HTTP routes with a key of "mesh api-key create --scopes read,admin"',
    );
  if (!isFree(device))
    throw meshError('usage', `no device with a token can have the name "${device}": the mesh reserves it`);
}

/** Prints one JSON document on stdout. */
export function printJson(document: unknown): void {
  process.stdout.write(`${JSON.stringify(document, undefined, 2)}\n`);
}

/** Prints progress and notices on stderr, because stdout is for the result. */
export function say(line: string): void {
  process.stderr.write(`${line}\n`);
}
