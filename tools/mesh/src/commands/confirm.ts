/** Asks before a command does what nothing undoes. */
import { createInterface } from 'node:readline/promises';
import type { Command } from 'commander';
import { meshError } from '../errors.ts';

/** The option of every command that asks. */
export interface YesOption {
  yes?: boolean;
}

/** The terminal of a question; tests replace it. */
export interface Terminal {
  isTTY: boolean;
  /** Resolves with the line that the user types; with '' at the end of the input. */
  ask(question: string): Promise<string>;
}

/** Adds `--yes`. */
export function withYes(command: Command): Command {
  return command.option('--yes', 'do not ask; for scripts');
}

/**
 * Resolves if the user agrees, or has agreed with `--yes`.
 * @param what what the command is about to do, as a sentence: "this deletes 3 nodes below /a"
 * @throws MeshError `usage` if there is no terminal to ask at, `not_confirmed` if the user declines
 */
export async function confirm(what: string, { yes }: YesOption, terminal = ownTerminal()): Promise<void> {
  if (yes === true) return;
  if (!terminal.isTTY)
    throw meshError('usage', `${what}, and nothing undoes it: --yes confirms it. Nothing was done`);
  const answer = (await terminal.ask(`${what}, and nothing undoes it. Continue? [y/N] `))
    .trim()
    .toLowerCase();
  if (answer !== 'y' && answer !== 'yes') throw meshError('not_confirmed', 'nothing was done');
}

/** Questions go to stderr, because stdout is for the result. */
function ownTerminal(): Terminal {
  return {
    isTTY: process.stdin.isTTY && process.stderr.isTTY,
    async ask(question) {
      const lines = createInterface({ input: process.stdin, output: process.stderr });
      const ended = new Promise<string>((resolve) => lines.once('close', () => resolve('')));
      try {
        return await Promise.race([lines.question(question), ended]);
      } finally {
        lines.close();
      }
    },
  };
}
