/** `mesh verify` judges the promises. */
import type { Command } from 'commander';
import { openMesh, type MeshContext } from '../mesh/mesh.ts';
import { verifyMesh } from '../verdict/verify.ts';
import { numberWithin, printJson, say, withOutput, type OutputOptions } from './options.ts';
import { renderVerdicts } from './view/verdict.ts';

interface VerifyFlags extends OutputOptions {
  waitSeconds: number;
  probe: boolean;
}

/** Exit code if no promise is broken, but one was not judged. */
const notJudgedCode = 3;

const help = `
I1  ledgers of "mesh load" and of the fleet, value by value, against PostgreSQL
I2  the epochs of the stored batches, which never fall
I3  the card processor's own ledger, against billing's books and what customers have seen
I4  results of image jobs, byte by byte, against that of a single process; verify sends an image of
    its own if anything has used the mesh
I5  orders and image jobs that callers know to be accepted, under the ids that they were given
I6  the accounts of gateway and PostgreSQL

A promise that was not judged is null, and its line gives the reason.

Exit code: 1 if a promise is broken; 3 if none is broken but one was not judged; 0 if all are kept.

Examples:
  mesh verify
  mesh verify --name second --json`;

export function addVerify(program: Command, context: () => MeshContext): void {
  withOutput(program.command('verify'))
    .description('judge the promises I1 to I6, each against evidence outside the part that it judges')
    .option('--no-probe', 'send no image of its own through the mesh')
    .option(
      '--wait-seconds <n>',
      'time limit of each wait: for the backlog, and for work that is still open',
      numberWithin(1, 3_600),
      60,
    )
    .addHelpText('after', help)
    .action(async ({ name, json, waitSeconds, probe }: VerifyFlags) => {
      const mesh = openMesh(context(), name);
      const tty = process.stderr.isTTY;
      const { document, comparison } = await verifyMesh(mesh, {
        timeoutMs: waitSeconds * 1000,
        probe,
        onProgress: (line) => tty && say(line),
      });
      if (json === true) printJson(document);
      else {
        console.log(renderVerdicts(document.invariants));
        if (comparison !== undefined && comparison.examples.length > 0)
          say(JSON.stringify(comparison.examples, undefined, 2));
      }
      if (document.ok === null) process.exitCode = notJudgedCode;
      else if (!document.ok) process.exitCode = 1;
    });
}
