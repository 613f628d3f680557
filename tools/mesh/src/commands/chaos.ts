/** `mesh chaos` injects faults and judges what became of the promises. */
import { randomInt } from 'node:crypto';
import type { ChaosDocument } from '@thermomesh/contracts';
import { MeshError } from '@thermomesh/runtime';
import { Argument, Option, type Command } from 'commander';
import { parsePartition, parseSelectors, type CutFault } from '../chaos/faults/cut.ts';
import { faultSignals, pauseMsOf, type FaultSignal } from '../chaos/faults/fault.ts';
import { targetKinds, type TargetKind } from '../chaos/faults/target.ts';
import type { ChaosOptions } from '../chaos/runner/options.ts';
import { seedMax } from '../chaos/runner/random.ts';
import { runChaos } from '../chaos/runner/run.ts';
import { readSchedule } from '../chaos/runner/schedule.ts';
import { openMesh, type MeshContext } from '../mesh/mesh.ts';
import { numberWithin, printJson, say, wholeNumber, withOutput, type OutputOptions } from './options.ts';
import { renderJobLoad } from './view/images.ts';
import { renderDrain, renderDurations, renderLoad, renderRules, renderVerdicts } from './view/verdict.ts';

interface ChaosFlags extends OutputOptions {
  signal?: FaultSignal;
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
Targets:
  coordinator            the node that coordinates at that moment
  random                 coordinator, gateway, postgres, any node, the fleet and what else the mesh
                         runs, with KILL and STOP unless --signal is given; --seed repeats a series
  billing                the replica with the fewest restarts, so repeated kills alternate; to break
                         the whole payment part while customers order, use mesh payments --chaos
  equalizer-coordinator  the equalizer node that coordinates at that moment
  equalizer-worker       an equalizer node that does not coordinate
TERM stops a process gracefully (PostgreSQL gets SIGINT), and the supervisor starts it again.

Links need a mesh that was started with --proxied. A link is named by its two ends, several links
with commas: <coordinator|every|node-N>:<nodes|gateway|postgres|zookeeper|zookeeper-N|node-N>;
zookeeper means all of its servers. A cut resets connections and refuses new ones. With --silent the
data is dropped instead. With --one-way only one direction is dropped: what the end (or side) named
first sends (out) or receives (in). Links heal after --pause-ms.

A schedule is a JSON list: [{"atMs": 0, "target": "coordinator", "signal": "KILL"},
{"atMs": 9000, "partition": "1,2/3,4,5", "pauseMs": 5000, "silent": true}].
tools/mesh/README.md lists all fields.

After the last round the backlog is drained and the promises are judged as by "mesh verify". A cut
must also keep two rules: exactly one side drains, and a cut and its heal each cost at most one
epoch. failoverMs is the time from the fault to the first commit of a higher epoch; this needs
readings (--load or a fleet). For equalizer-coordinator it ends when the successor has every job.

With --load the targets equalizer-coordinator, equalizer-worker, kafka, zookeeper and random also
get image jobs of many kinds, --jobs of them a second (0 for none); other targets get them only if
--jobs is given. Each result is compared byte by byte with the result of a single process. "added
time" is the duration of a job less the median of its kind before the first fault.

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

export function addChaos(program: Command, context: () => MeshContext): void {
  const command = withSeries(withFault(withOutput(program.command('chaos')))).addHelpText('after', help);
  command.action(
    async (target: TargetKind | 'random' | undefined, node: number | undefined, flags: ChaosFlags) => {
      const series = seriesOf(target, node, flags, (text) => command.error(`error: ${text}`));
      const document = await runChaos(openMesh(context(), flags.name), {
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

/** The arguments and options that describe the fault. */
function withFault(command: Command): Command {
  return command
    .description('inject faults into a running mesh or its links, and judge the promises')
    .addArgument(new Argument('[target]', 'the part to break').choices([...targetKinds, 'random']))
    .addArgument(
      new Argument('[n]', 'the number of the node, for the target node').argParser(wholeNumber(1, 9)),
    )
    .addOption(
      new Option(
        '--signal <signal>',
        'KILL: kill -9; STOP: SIGSTOP, later SIGCONT; TERM: graceful stop (default: KILL)',
      ).choices(faultSignals),
    )
    .option(
      '--pause-ms <ms>',
      'duration of a STOP (default: 3000) or of a cut (default: 6000)',
      wholeNumber(1, 600_000),
    )
    .option(
      '--disconnect <network...>',
      'containers only: disconnect the target from these of its networks (mesh, data, front)',
    )
    .option(
      '--partition <sides>',
      'cut the links between sides, such as 1,2/3,4,5; a node on no side keeps all its links',
    )
    .option('--cut <links>', 'cut these links')
    .option('--slow <links>', 'delay these links, or limit their bandwidth')
    .option('--silent', 'with --partition, --cut: drop data silently instead of resetting connections')
    .addOption(
      new Option('--one-way <way>', 'with --partition, --cut: cut one direction only').choices(['out', 'in']),
    )
    .option('--delay-ms <ms>', 'with --slow: delay of each direction', wholeNumber(1, 60_000))
    .option('--bandwidth <bytes>', 'with --slow: limit in bytes per second', wholeNumber(1, 1_000_000_000));
}

/** The options of the whole series. */
function withSeries(command: Command): Command {
  return command
    .option('--schedule <file>', 'JSON file with the faults and their times')
    .option('--seed <n>', 'seed of the target random', wholeNumber(0, seedMax))
    .option('--times <n>', 'number of rounds', wholeNumber(1, 10_000), 1)
    .option(
      '--every <ms>',
      'time from one fault to the next (longer if the mesh has not recovered)',
      wholeNumber(0, 3_600_000),
      2_000,
    )
    .option('--load', 'run a load generator meanwhile, with a ledger')
    .option('--devices <n>', 'with --load: number of devices', wholeNumber(1, 20_000), 50)
    .option('--rate <n>', 'with --load: readings per second', numberWithin(0.01, 1_000_000), 500)
    .option(
      '--jobs <n>',
      'with --load: image jobs per second (default: 2 for targets that concern them)',
      numberWithin(0, 100),
    )
    .option('--recovery-seconds <n>', 'time limit of one recovery', numberWithin(1, 3_600), 60)
    .option(
      '--drain-seconds <n>',
      'time limit for draining the backlog at the end',
      numberWithin(1, 3_600),
      120,
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

/** Turns the arguments into a series, or refuses them with one line. */
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
    refuse(
      'name what to break: a target, links (--partition, --cut, --slow), or a --schedule; exactly one of them',
    );
  }
  if (target !== 'node' && node !== undefined) refuse(`${target ?? 'this'} takes no number`);
  if (seed !== undefined && target !== 'random') refuse('--seed needs the target random');
  if (signal !== undefined && target === undefined) refuse('--signal needs a target');
  if (schedule !== undefined) {
    if (flags.times !== 1 || pauseMs !== undefined)
      refuse('--schedule defines its own rounds and pauses: leave out --times and --pause-ms');
    return { target: 'schedule', signal, pauseMs, steps: readSchedule(schedule) };
  }
  if (links) return { target: 'links', signal, pauseMs, cut: cutOf(flags, refuse) };
  if (target === 'random') {
    const chosen = seed ?? randomInt(seedMax);
    say(`seed ${chosen}: --seed ${chosen} repeats the same faults`);
    return { target, signal, pauseMs, seed: chosen };
  }
  if (flags.disconnect !== undefined && signal !== undefined)
    refuse('--disconnect and --signal exclude each other');
  return { target: target ?? 'coordinator', node, signal, pauseMs, networks: flags.disconnect };
}

function cutOf(flags: ChaosFlags, refuse: (text: string) => never): CutFault {
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
