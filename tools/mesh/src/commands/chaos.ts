/** `mesh chaos` */
import { randomInt } from 'node:crypto';
import type { ChaosDocument } from '@thermomesh/contracts';
import { MeshError } from '@thermomesh/runtime';
import { Argument, Option, type Command } from 'commander';
import { blowSignals, pauseMsOf, type BlowSignal } from '../chaos/blow.ts';
import { parsePartition, parseSelectors, type CutBlow } from '../chaos/cut.ts';
import { seedMax } from '../chaos/random.ts';
import { runChaos, type ChaosOptions } from '../chaos/run.ts';
import { readSchedule } from '../chaos/schedule.ts';
import { targetKinds, type TargetKind } from '../chaos/target.ts';
import { openMesh } from '../client/mesh.ts';
import type { MeshConfig } from '../config.ts';
import { renderJobLoad } from '../view/images.ts';
import { renderDrain, renderDurations, renderLoad, renderRules, renderVerdicts } from '../view/verdict.ts';
import { numberWithin, printJson, say, wholeNumber, withOutput, type OutputOptions } from './options.ts';

interface ChaosFlags extends OutputOptions {
  signal?: BlowSignal;
  pauseMs?: number;
  disconnect?: string[];
  partition?: string;
  cut?: string;
  slow?: string;
  silent?: boolean;
  oneWay?: 'out' | 'in';
  delayMs?: number;
  bandwidth?: number;
  schedule?: string;
  seed?: number;
  times: number;
  every: number;
  load?: boolean;
  devices: number;
  rate: number;
  jobs?: number;
  recoverySeconds: number;
  drainSeconds: number;
}

const help = `
coordinator is whichever node coordinates at that moment. random hits coordinator, gateway, postgres, any
node and the fleet, with KILL and STOP unless --signal says which; the seed is printed and --seed repeats it.
TERM ends a process in order, and it is started again (PostgreSQL is told so with SIGINT).
equalizer-coordinator is whichever equalizer node coordinates then, equalizer-worker one that does not. billing is the replica that was started anew least often, so kills hit them in turn; mesh payments --chaos hurts the whole
payment part while customers order.

Links (of a mesh that is up with --proxied) are named
<coordinator|every|node-N>:<nodes|gateway|postgres|zookeeper|zookeeper-N|node-N>, several with commas; zookeeper means all of its servers. A cut resets connections and refuses new ones; --silent drops in silence instead; --one-way
drops what the end (or side) named first sends (out) or would receive (in). They heal after --pause-ms.

A schedule is a JSON list: [{"atMs": 0, "target": "coordinator", "signal": "KILL"},
{"atMs": 9000, "partition": "1,2/3,4,5", "pauseMs": 5000, "silent": true}]; tools/mesh/README.md has all fields.

After the last round the backlog is drained and the promises are judged as by "mesh verify"; cuts also by the
rules that exactly one side drains and that a cut and its heal cost at most one epoch each.
failoverMs: from the blow to the first commit of a higher epoch; it needs readings: --load or a fleet. Of
equalizer-coordinator: to the moment when its successor has every job back.

With --load the targets equalizer-coordinator, equalizer-worker, kafka, zookeeper and random also get image jobs of many
kinds, --jobs of them a second (0: none; any other target gets them if it is given). Each result is compared byte by byte
with that of one process alone; added time is the job's less the median of its kind before the first blow.

Exit code: 1 if a promise is broken or the mesh does not recover in time.

Examples:
  mesh chaos coordinator --times 5 --load --json
  mesh chaos coordinator --signal STOP --pause-ms 5000 --load
  mesh chaos coordinator --signal TERM --load
  mesh chaos node 3
  mesh chaos redis
  mesh chaos equalizer-coordinator --times 5 --load
  mesh chaos equalizer-worker --signal STOP --load
  mesh chaos random --times 50 --load
  mesh chaos --partition 1,2/3,4,5 --load
  mesh chaos --cut coordinator:postgres,coordinator:gateway --silent --pause-ms 10000 --load
  mesh chaos --cut coordinator:zookeeper --silent --load
  mesh chaos --slow every:nodes --delay-ms 50 --bandwidth 100000 --load
  mesh chaos --schedule storm.json --load
  mesh --target compose chaos coordinator --disconnect mesh data --pause-ms 5000 --load`;

export function addChaos(program: Command, config: () => MeshConfig): void {
  const command = withOutput(program.command('chaos'))
    .description('hurt one part of a running mesh, or its links, and judge what became of the promises')
    .addArgument(new Argument('[target]', 'what to hurt').choices([...targetKinds, 'random']))
    .addArgument(new Argument('[n]', 'node: which one').argParser(wholeNumber(1, 9)))
    .addOption(
      new Option(
        '--signal <signal>',
        'kill -9; SIGSTOP and later SIGCONT; an orderly end (default: KILL)',
      ).choices(blowSignals),
    )
    .option(
      '--pause-ms <ms>',
      'how long it stays stopped (default: 3000), or cut (default: 6000)',
      wholeNumber(1, 600_000),
    )
    .option(
      '--disconnect <network...>',
      'containers: cut the target off these of its networks (mesh, data, front)',
    )
    .option('--partition <sides>', 'cut the links between sides: 1,2/3,4,5; who is not named keeps all')
    .option('--cut <links>', 'cut these links')
    .option('--slow <links>', 'these links pass, but late or narrow')
    .option('--silent', 'with --partition, --cut: nothing arrives and nobody is told')
    .addOption(new Option('--one-way <way>', 'with --partition, --cut: only one way').choices(['out', 'in']))
    .option('--delay-ms <ms>', 'with --slow: each way', wholeNumber(1, 60_000))
    .option('--bandwidth <bytes>', 'with --slow: bytes per second', wholeNumber(1, 1_000_000_000))
    .option('--schedule <file>', 'blows with their times, as JSON')
    .option('--seed <n>', 'of random', wholeNumber(0, seedMax))
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
    .option(
      '--jobs <n>',
      'with --load: image jobs per second (default: 2 where it concerns them)',
      numberWithin(0, 100),
    )
    .option('--recovery-seconds <n>', 'how long one recovery may take', numberWithin(1, 3_600), 60)
    .option('--drain-seconds <n>', 'how long the backlog may take at the end', numberWithin(1, 3_600), 120)
    .addHelpText('after', help);
  command.action(
    async (target: TargetKind | 'random' | undefined, node: number | undefined, flags: ChaosFlags) => {
      const series = seriesOf(target, node, flags, (text) => command.error(`error: ${text}`));
      const document = await runChaos(openMesh(config(), flags.name), {
        ...series,
        times: flags.times,
        everyMs: flags.every,
        load: loadOf(flags),
        recoveryTimeoutMs: flags.recoverySeconds * 1000,
        drainTimeoutMs: flags.drainSeconds * 1000,
        onProgress: say,
      });
      if (flags.json === true) printJson(document);
      else for (const line of report(document)) console.log(line);
      if (!document.ok) process.exitCode = 1;
    },
  );
}

function loadOf({ load, devices, rate, jobs }: ChaosFlags): ChaosOptions['load'] {
  if (load !== true) return undefined;
  return { devices, rate, ...(jobs === undefined ? {} : { jobs: { perSecond: jobs } }) };
}

type Series = Pick<
  ChaosOptions,
  'target' | 'node' | 'signal' | 'pauseMs' | 'networks' | 'cut' | 'steps' | 'seed'
>;

/** What the words mean, or one line about why they mean nothing. */
function seriesOf(
  target: TargetKind | 'random' | undefined,
  node: number | undefined,
  flags: ChaosFlags,
  refuse: (text: string) => never,
): Series {
  const { signal, pauseMs, schedule, seed } = flags;
  const ofLinks = ['partition', 'cut', 'slow', 'silent', 'oneWay', 'delayMs', 'bandwidth'] as const;
  const links = ofLinks.some((flag) => flags[flag] !== undefined);
  const kinds = [target !== undefined, links, schedule !== undefined].filter(Boolean).length;
  if (kinds !== 1) {
    refuse('say what to hurt: a target, or links (--partition, --cut, --slow), or a --schedule; one of them');
  }
  if (target !== 'node' && node !== undefined) refuse(`${target ?? 'this'} takes no number`);
  if (seed !== undefined && target !== 'random') refuse('--seed is for random');
  if (signal !== undefined && target === undefined) refuse('--signal is for a target');
  if (schedule !== undefined) {
    if (flags.times !== 1 || pauseMs !== undefined) refuse('a schedule has its own rounds and pauses');
    return { target: 'schedule', signal, pauseMs, steps: readSchedule(schedule) };
  }
  if (links) return { target: 'links', signal, pauseMs, cut: cutOf(flags, refuse) };
  if (target === 'random') {
    const chosen = seed ?? randomInt(seedMax);
    say(`seed ${chosen}: --seed ${chosen} plays the same blows again`);
    return { target, signal, pauseMs, seed: chosen };
  }
  if (flags.disconnect !== undefined && signal !== undefined)
    refuse('--disconnect and --signal are two things');
  return { target: target ?? 'coordinator', node, signal, pauseMs, networks: flags.disconnect };
}

function cutOf(flags: ChaosFlags, refuse: (text: string) => never): CutBlow {
  const { partition, cut, slow, delayMs = 0, bandwidth } = flags;
  try {
    return {
      kind: 'links',
      partition: partition === undefined ? [] : parsePartition(partition),
      cut: cut === undefined ? [] : parseSelectors(cut),
      slow: slow === undefined ? [] : parseSelectors(slow),
      silent: flags.silent === true,
      oneWay: flags.oneWay,
      delayMs,
      bytesPerSecond: bandwidth ?? null,
      pauseMs: flags.pauseMs ?? pauseMsOf.links,
    };
  } catch (error) {
    if (error instanceof MeshError) return refuse(error.message);
    throw error;
  }
}

function report(document: ChaosDocument): string[] {
  const { load, jobs, handOverMs } = document;
  return [
    `${document.ok ? 'PASSED' : 'FAILED'}: ${document.target}, ${document.rounds} round(s)`,
    `failover    ${renderDurations(document.failoverMs)}`,
    ...(handOverMs === null ? [] : [`hand-over   ${renderDurations(handOverMs)}`]),
    `drained in  ${renderDrain(document.drainMs)}; stale writes refused: ${document.staleWritesRefused}`,
    ...(load === null ? [] : [renderLoad(load)]),
    ...(jobs === null ? [] : [renderJobLoad(jobs)]),
    renderVerdicts(document.invariants),
    ...(document.rules.length === 0 ? [] : [renderRules(document.rules)]),
    `timeline, logs and ledger: ${document.folder ?? '-'}`,
  ];
}
