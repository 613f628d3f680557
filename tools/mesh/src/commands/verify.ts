/** `mesh verify` */
import type { Command } from 'commander';
import { openMesh } from '../client/mesh.ts';
import type { MeshConfig } from '../config.ts';
import { verifyMesh } from '../verdict/verify.ts';
import { renderVerdicts } from '../view/verdict.ts';
import { numberWithin, printJson, say, withOutput, type OutputOptions } from './options.ts';

export function addVerify(program: Command, config: () => MeshConfig): void {
  withOutput(program.command('verify'))
    .description(
      'judge the promises: every ledger against SQL (I1), the epochs of the batches (I2), the accounts (I6)',
    )
    .option(
      '--wait-seconds <n>',
      'how long to wait for the backlog to be drained',
      numberWithin(1, 3_600),
      60,
    )
    .addHelpText(
      'after',
      '\nExit code: 1 if a promise is broken or cannot be judged.\n\nExamples:\n  mesh verify\n  mesh verify --name second --json',
    )
    .action(async ({ name, json, waitSeconds }: OutputOptions & { waitSeconds: number }) => {
      const mesh = openMesh(config(), name);
      const tty = process.stderr.isTTY;
      const { document, comparison } = await verifyMesh(mesh, {
        timeoutMs: waitSeconds * 1000,
        onProgress: (line) => tty && say(line),
      });
      if (json === true) printJson(document);
      else {
        console.log(renderVerdicts(document.invariants));
        if (comparison !== undefined && comparison.examples.length > 0)
          say(JSON.stringify(comparison.examples, undefined, 2));
      }
      if (!document.ok) process.exitCode = 1;
    });
}
