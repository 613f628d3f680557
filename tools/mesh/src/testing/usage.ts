/** The command line in tests, without running any command. */
import assert from 'node:assert/strict';
import { CommanderError, type Command } from 'commander';
import { createProgram } from '../commands/program.ts';

/** A command and all commands below it. */
export function everyCommand(command: Command): Command[] {
  return [command, ...command.commands.flatMap(everyCommand)];
}

/** The exit code of a command line that prints help or is refused; fails if it would run. */
export async function usageOf(...words: string[]): Promise<number> {
  const program = createProgram(() => assert.fail('no subcommand may run'));
  for (const command of everyCommand(program)) {
    command.exitOverride().configureOutput({ writeErr: () => undefined, writeOut: () => undefined });
  }
  try {
    await program.parseAsync(words, { from: 'user' });
  } catch (error) {
    assert.ok(error instanceof CommanderError, String(error));
    return error.exitCode;
  }
  return assert.fail('nothing was refused');
}
