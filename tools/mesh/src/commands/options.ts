/** Options that several subcommands share, and how their values are read. */
import { InvalidArgumentError, type Command } from 'commander';

export interface NameOption {
  name: string;
}
export interface OutputOptions extends NameOption {
  json?: boolean;
}

/** Adds `--name`. */
export function withName(command: Command): Command {
  return command.option('--name <mesh>', 'which mesh: several can run side by side', 'main');
}

/** Adds `--name` and `--json`. */
export function withOutput(command: Command): Command {
  return withName(command).option('--json', 'print exactly one JSON document on stdout, for machines');
}

/** A whole number from `min` to `max`. */
export function wholeNumber(min: number, max: number): (text: string) => number {
  return (text) => {
    const value = Number(text);
    if (!/^\d+$/.test(text) || value < min || value > max) {
      throw new InvalidArgumentError(`must be a whole number from ${min} to ${max}.`);
    }
    return value;
  };
}

/** A number from `min` to `max`. */
export function numberWithin(min: number, max: number): (text: string) => number {
  return (text) => {
    const value = Number(text);
    if (text.trim() === '' || !(value >= min && value <= max)) {
      throw new InvalidArgumentError(`must be a number from ${min} to ${max}.`);
    }
    return value;
  };
}

export const portNumber = wholeNumber(1, 65_535);

/** Collects `<process>:KEY=VALUE`. */
export function collectEnv(
  text: string,
  previous: Record<string, Record<string, string>> = {},
): Record<string, Record<string, string>> {
  const match = /^([a-z0-9-]+):([A-Za-z_][A-Za-z0-9_]*)=([\s\S]*)$/.exec(text);
  const [, process, key, value] = match ?? [];
  if (process === undefined || key === undefined || value === undefined) {
    throw new InvalidArgumentError('must read <process>:KEY=VALUE, such as node-5:LOG_LEVEL=debug.');
  }
  return { ...previous, [process]: { ...previous[process], [key]: value } };
}

/** One JSON document on stdout. */
export function printJson(document: unknown): void {
  process.stdout.write(`${JSON.stringify(document, undefined, 2)}\n`);
}

/** Progress and notices: never on stdout, which belongs to the result. */
export function say(line: string): void {
  process.stderr.write(`${line}\n`);
}
