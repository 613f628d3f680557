/** `mesh load` sends readings and judges what became of them. */
import type { Command } from 'commander';
import { openMesh, type MeshContext } from '../mesh/mesh.ts';
import { describeFinding } from '../verdict/ledgers.ts';
import { judgeLoad } from '../verdict/load.ts';
import { startLoad } from '../workloads/readings/load.ts';
import { numberWithin, printJson, say, wholeNumber, withOutput, type OutputOptions } from './options.ts';
import { renderLoad } from './view/verdict.ts';

interface LoadFlags extends OutputOptions {
  devices: number;
  rate: number;
  seconds: number;
  qos: number;
  drainSeconds: number;
  skew?: number;
  offlineRatio?: number;
  backfillMinutes?: number;
  stormSeconds?: number;
  poisonRatio?: number;
  window?: number;
  burst?: number;
  seed?: number;
}

const help = `
Exit code: 1 if an acknowledged reading is lost, or a reading is duplicated or corrupted. At QoS 0
nothing is acknowledged, so nothing can be lost.

Examples:
  mesh load --devices 500 --rate 5000 --seconds 30 --json
  mesh load --offline-ratio 0.2 --skew 120 --poison-ratio 0.01
  mesh load --devices 5000 --storm-seconds 3 --backfill-minutes 60   # one hour offline`;

export function addLoad(program: Command, context: () => MeshContext): void {
  withOutput(program.command('load'))
    .description('send readings at a chosen rate, keep a ledger outside the system, and compare it with SQL')
    .option('--devices <n>', 'number of devices, each with one connection', wholeNumber(1, 20_000), 100)
    .option('--rate <n>', 'readings per second, of all devices together', numberWithin(0.01, 1_000_000), 1000)
    .option('--seconds <n>', 'duration of the load', numberWithin(0.1, 86_400), 10)
    .option('--qos <0|1>', 'quality of service', wholeNumber(0, 1), 1)
    .option(
      '--skew <seconds>',
      'device clocks are off by at most this, in either direction',
      numberWithin(0, 86_400),
    )
    .option('--offline-ratio <share>', 'share of the time in which a device is offline', numberWithin(0, 0.9))
    .option(
      '--backfill-minutes <n>',
      'each device first sends the readings of this many minutes offline, one a minute',
      wholeNumber(0, 10_080),
    )
    .option(
      '--storm-seconds <s>',
      'all devices connect within this time and send at once (default: they connect, then send)',
      numberWithin(0, 3_600),
    )
    .option('--poison-ratio <share>', 'share of messages that must be rejected', numberWithin(0, 1))
    .option('--window <n>', 'maximum number of unacknowledged messages of a device', wholeNumber(1, 60_000))
    .option('--burst <n>', 'number of readings that a device sends at once', wholeNumber(1, 10_000))
    .option('--seed <n>', 'seed of values, clock skews and offline phases', wholeNumber(0, 4_294_967_295))
    .option(
      '--drain-seconds <n>',
      'time limit for draining the backlog afterwards',
      numberWithin(1, 3_600),
      120,
    )
    .addHelpText('after', help)
    .action(async (flags: LoadFlags) => {
      const mesh = openMesh(context(), flags.name);
      const load = startLoad(mesh, { ...flags, qos: flags.qos === 0 ? 0 : 1, more: furtherArguments(flags) });
      // An interrupted load ends gracefully, and the readings that were sent are judged.
      for (const signal of ['SIGINT', 'SIGTERM'] as const) process.on(signal, () => load.finish());
      const summary = await load.finished;
      let saidAt = 0;
      const verdict = await judgeLoad(mesh, summary, flags.drainSeconds * 1000, (remaining) => {
        if (Date.now() - saidAt < 1_000) return;
        saidAt = Date.now();
        say(`waiting for the backlog: ${remaining} to go`);
      });
      if (verdict.caveat !== undefined)
        say(`the mesh did not drain, so these numbers are not final: ${verdict.caveat}`);
      for (const finding of verdict.comparison.examples) say(describeFinding(finding));
      if (flags.json === true) printJson(verdict.document);
      else console.log(renderLoad(verdict.document));
      if (!verdict.ok) process.exitCode = 1;
    });
}

function furtherArguments(flags: LoadFlags): Record<string, number> {
  const { skew, offlineRatio, backfillMinutes, stormSeconds, poisonRatio, window, burst, seed } = flags;
  const all = {
    skew,
    window,
    burst,
    seed,
    'offline-ratio': offlineRatio,
    'backfill-minutes': backfillMinutes,
    'storm-seconds': stormSeconds,
    'poison-ratio': poisonRatio,
  };
  return Object.fromEntries(
    Object.entries(all).filter((entry): entry is [string, number] => entry[1] !== undefined),
  );
}
