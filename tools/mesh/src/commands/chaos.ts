/** `mesh chaos` */
import { Argument, InvalidArgumentError, Option, type Command } from 'commander';
import { runChaos } from '../chaos/run.ts';
import { targetKinds, type TargetKind } from '../chaos/target.ts';
import { openMesh } from '../client/mesh.ts';
import type { MeshConfig } from '../config.ts';
import { renderDrain, renderDurations, renderLoad, renderVerdicts } from '../view/verdict.ts';
import { numberWithin, printJson, say, wholeNumber, withOutput, type OutputOptions } from './options.ts';

interface ChaosFlags extends OutputOptions {
  signal: 'KILL' | 'STOP';
  pauseMs: number;
  times: number;
  every: number;
  load?: boolean;
  devices: number;
  rate: number;
  recoverySeconds: number;
  drainSeconds: number;
}

const help = `
coordinator is whichever node coordinates at that moment. After the last round the backlog is
drained and the promises are judged as by "mesh verify".
failoverMs: from the signal to the first commit of a higher epoch; it needs readings: --load or a fleet.

Exit code: 1 if a promise is broken or the mesh does not recover in time.

Examples:
  mesh chaos coordinator --times 5 --load --json
  mesh chaos coordinator --signal STOP --pause-ms 5000 --load
  mesh chaos node 3
  mesh chaos postgres --times 3 --every 5000 --load --rate 2000`;

export function addChaos(program: Command, config: () => MeshConfig): void {
  withOutput(program.command('chaos'))
    .description('kill or pause one part of a running mesh and judge what became of the promises')
    .addArgument(new Argument('<target>', 'what to hurt').choices([...targetKinds]))
    .addArgument(new Argument('[n]', 'node: which one').argParser(wholeNumber(1, 9)))
    .addOption(
      new Option('--signal <signal>', 'kill -9, or SIGSTOP and later SIGCONT')
        .choices(['KILL', 'STOP'])
        .default('KILL'),
    )
    .option('--pause-ms <ms>', 'STOP: how long it stays stopped', wholeNumber(1, 600_000), 3_000)
    .option('--times <n>', 'rounds', wholeNumber(1, 10_000), 1)
    .option(
      '--every <ms>',
      'from one blow to the next (more while the mesh recovers)',
      wholeNumber(0, 3_600_000),
      2_000,
    )
    .option('--load', 'a load generator runs meanwhile, with a ledger')
    .option('--devices <n>', 'with --load', wholeNumber(1, 20_000), 50)
    .option('--rate <n>', 'with --load: readings per second', numberWithin(0.01, 1_000_000), 500)
    .option('--recovery-seconds <n>', 'how long one recovery may take', numberWithin(1, 3_600), 60)
    .option('--drain-seconds <n>', 'how long the backlog may take at the end', numberWithin(1, 3_600), 120)
    .addHelpText('after', help)
    .action(async (target: TargetKind, node: number | undefined, flags: ChaosFlags) => {
      if (target !== 'node' && node !== undefined)
        throw new InvalidArgumentError(`${target} takes no number`);
      const mesh = openMesh(config(), flags.name);
      const document = await runChaos(mesh, {
        target,
        node,
        signal: flags.signal,
        pauseMs: flags.pauseMs,
        times: flags.times,
        everyMs: flags.every,
        load: flags.load === true ? { devices: flags.devices, rate: flags.rate } : undefined,
        recoveryTimeoutMs: flags.recoverySeconds * 1000,
        drainTimeoutMs: flags.drainSeconds * 1000,
        onProgress: say,
      });
      if (flags.json === true) printJson(document);
      else {
        console.log(`${document.ok ? 'PASSED' : 'FAILED'}: ${document.target}, ${document.rounds} round(s)`);
        console.log(`failover    ${renderDurations(document.failoverMs)}`);
        console.log(
          `drained in  ${renderDrain(document.drainMs)}; stale writes refused: ${document.staleWritesRefused}`,
        );
        if (document.load !== null) console.log(renderLoad(document.load));
        console.log(renderVerdicts(document.invariants));
      }
      if (!document.ok) process.exitCode = 1;
    });
}
