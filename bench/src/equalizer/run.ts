/** The whole equalizer bench: every arm on the same image, in interleaved rounds, one document. */
import { execFile } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { mkdtempSync } from 'node:fs';
import { rm } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { promisify } from 'node:util';
import type { ImageLibraries } from '@thermomesh/image-libraries';
import { childEnvironment, repository } from '../config.ts';
import { benchError } from '../errors.ts';
import { interleave, rangeOf, ratioRange } from '../core/statistics.ts';
import { atMost, rounded, type Arm, type Findings, type RunDocument } from '../parts/arms.ts';
import { describeMachine } from '../parts/machine.ts';
import type { RunOptions } from '../parts/scope.ts';
import { differences, generate, imageLibraries, pillowEqualize, vips, vipsHistEqual } from './libraries.ts';
import { runJob, startBrokers, startNodes, type Nodes } from './nodes.ts';
import type { EqualizerPlan, Subject } from './plan.ts';

export interface EqualizerDocument extends RunDocument {
  bench: 'equalizer';
  /** Version of libvips. */
  libvips: string;
}

export interface EqualizerBenchOptions extends RunOptions {
  plan: EqualizerPlan;
}

/**
 * Maximum of: our wall time ÷ that of `vips hist_equal`, which has no network, no acknowledgement
 * and no second copy.
 */
const vipsRatioMax = 1.5;
/** Maximum of: our wall time ÷ that of the same work in one process. */
const overheadMax = 1.2;
const memoryAboveIdleMaxMiB = 150;
const referenceTimeoutMs = 600_000;

/** Times and memory of one round of an arm. */
interface Round {
  seconds: number;
  peakMiB?: number | null;
  uploadSeconds?: number;
  downloadSeconds?: number;
}

interface Contender {
  name: string;
  what: string;
  durable: boolean;
  measure(file: string, out: string): Promise<Round>;
  rounds: Round[];
}

interface Bench extends EqualizerBenchOptions {
  folder: string;
  libraries: ImageLibraries;
  nodes: readonly Nodes[];
  /** Memory of an idle node before its first image; null where the system does not report it. */
  idleMiB: number | null;
}

/**
 * Measures every arm on every subject of the plan.
 * @throws MeshError `bench.not_identical`, or if an arm fails
 */
export async function runEqualizer(options: EqualizerBenchOptions): Promise<EqualizerDocument> {
  const { name, plan, scope, say, onFolder } = options;
  const started = new Date();
  const folder = mkdtempSync(path.join(os.tmpdir(), 'thermomesh-bench-'));
  onFolder?.(folder);
  scope.onEnd(async () => rm(folder, { recursive: true, force: true }));
  const libraries = await imageLibraries();
  const machine = await describeMachine(folder);
  const common = { folder, secret: randomBytes(24).toString('hex'), ...plan, ...options };
  const brokers = await startBrokers(scope, folder);
  say('ZooKeeper and Kafka serve');
  const nodes = [
    await startNodes({ ...common, ...brokers, count: 1 }),
    await startNodes({ ...common, ...brokers, count: 2 }),
  ];
  const idleMiB = (await nodes[1]?.restingMiB()) ?? null;
  const bench = { ...options, folder, libraries, nodes, idleMiB };
  await warmUp(bench);
  const found: Findings[] = [];
  for (const subject of plan.subjects) found.push(await measureSubject(bench, subject));
  return {
    name,
    bench: 'equalizer',
    quick: plan.quick,
    startedAt: started.toISOString(),
    seconds: Math.round((Date.now() - started.getTime()) / 1000),
    machine,
    libvips: await vips(libraries, ['--version']),
    arms: found.flatMap(({ arms }) => arms),
    targets: found.flatMap(({ targets }) => targets),
  };
}

/** Runs a few small images before the first measurement, because code is compiled while it runs. */
async function warmUp({ libraries, folder, nodes }: Bench): Promise<void> {
  const file = path.join(folder, 'warm.tif');
  await generate(libraries, 1_000, `${file}[tile]`, file);
  for (const each of nodes) for (let round = 0; round < 3; round++) await runJob(each, file, `${file}.out`);
}

async function measureSubject(bench: Bench, subject: Subject): Promise<Findings> {
  const { folder, libraries, say, plan } = bench;
  const ending = /^\.\w+/.exec(subject.suffix)?.[0] ?? '';
  const file = path.join(folder, `image${ending}`);
  await generate(
    libraries,
    subject.side,
    path.join(folder, `image${subject.suffix}`),
    path.join(folder, 'image'),
  );
  const contenders = contendersFor(bench, subject);
  const outOf = ({ name }: Contender): string =>
    path.join(folder, `${name.replaceAll(/\W+/g, '-')}${ending}`);
  for (const { arm, round } of interleave(contenders, subject.rounds)) {
    const result = await arm.measure(file, outOf(arm));
    arm.rounds.push(result);
    say(`${subject.name}, round ${round + 1}, ${arm.name}: ${result.seconds.toFixed(2)} s`);
  }
  await checkResults(
    bench,
    subject,
    contenders.map((each) => ({ name: each.name, out: outOf(each) })),
  );
  await Promise.all([file, ...contenders.map(outOf)].map(async (each) => rm(each, { force: true })));
  return findingsOf(subject, contenders, { plan, idleMiB: bench.idleMiB });
}

function contendersFor(bench: Bench, { main, suffix }: Subject): Contender[] {
  const { libraries, nodes, plan } = bench;
  const layout = /\[.*\]$/.exec(suffix)?.[0] ?? '';
  const alone = (threads: number): Contender => ({
    name: `one process, ${threads} thread${threads === 1 ? '' : 's'}`,
    what: 'the same pixel code in one process, without Kafka, ZooKeeper and HTTP; without the start of the process',
    durable: false,
    measure: async (file, out) => reference(file, out, threads, plan.chunkPixels),
    rounds: [],
  });
  const mesh = (each: Nodes): Contender => ({
    name: `mesh, ${each.count} node${each.count === 1 ? '' : 's'}`,
    what: 'accepted job to final event, one image thread a node; upload and download beside it',
    durable: true,
    measure: async (file, out) => {
      each.resetPeaks();
      const { jobSeconds: seconds, ...transfers } = await runJob(each, file, out);
      return { seconds, ...transfers, peakMiB: each.peakMiB() };
    },
    rounds: [],
  });
  const command = (name: string, what: string, work: typeof vipsHistEqual, options: string): Contender => ({
    name,
    what,
    durable: false,
    rounds: [],
    measure: async (file, out) => ({ seconds: await work(libraries, file, out + options) }),
  });
  return [
    command('vips hist_equal', 'the command, from its start to its end', vipsHistEqual, layout),
    ...(main
      ? [command('Pillow', 'ImageOps.equalize in Python, from its start to its end', pillowEqualize, '')]
      : []),
    ...[1, 2].map(alone),
    ...nodes.map(mesh),
  ];
}

async function reference(file: string, out: string, threads: number, chunkPixels: number): Promise<Round> {
  const program = path.join(repository, 'services/equalizer/src/programs/reference/main.ts');
  const words = [
    file,
    out,
    '--definition',
    'vips',
    '--threads',
    String(threads),
    '--chunk-pixels',
    String(chunkPixels),
  ];
  const env = { ...childEnvironment(), MALLOC_ARENA_MAX: '2' };
  const { stdout } = await promisify(execFile)(process.execPath, [program, ...words], {
    env,
    timeout: referenceTimeoutMs,
  });
  return JSON.parse(stdout) as Round;
}

/**
 * No figure counts without this verdict: the mesh and one process made the same pixels, and libvips
 * made them too where the format is lossless.
 * @throws MeshError `bench.not_identical`
 */
async function checkResults(
  { libraries }: Bench,
  { name, suffix }: Subject,
  results: readonly { name: string; out: string }[],
): Promise<void> {
  const of = (prefix: string) => results.filter((result) => result.name.startsWith(prefix));
  const [first] = of('one process');
  const lossless = !suffix.startsWith('.jpg');
  const others = [...of('mesh'), ...of('one process'), ...(lossless ? of('vips') : [])];
  for (const other of others) {
    const differ = await differences(libraries, first!.out, other.out);
    if (differ !== 0)
      throw benchError('bench.not_identical', `${name}: ${other.name} and ${first!.name} differ (${differ})`);
  }
}

function findingsOf(
  subject: Subject,
  contenders: readonly Contender[],
  { plan, idleMiB }: { plan: EqualizerPlan; idleMiB: number | null },
): Findings {
  const by = (name: string): number[] =>
    contenders.find((each) => each.name === name)?.rounds.map(({ seconds }) => seconds) ?? [];
  const megapixels = subject.side ** 2 / 1e6;
  const range = (values: readonly (number | null | undefined)[], digits: number) => {
    const numbers = values.filter((value) => typeof value === 'number');
    return numbers.length === 0 ? undefined : rounded(rangeOf(numbers), digits);
  };
  const arms = contenders.map(({ name, what, durable, rounds }): Arm => {
    const fields = {
      wallSeconds: range(
        rounds.map(({ seconds }) => seconds),
        3,
      ),
      megapixelsPerSecond: range(
        rounds.map(({ seconds }) => megapixels / seconds),
        1,
      ),
      uploadSeconds: range(
        rounds.map(({ uploadSeconds }) => uploadSeconds),
        3,
      ),
      downloadSeconds: range(
        rounds.map(({ downloadSeconds }) => downloadSeconds),
        3,
      ),
      peakMiB: range(
        rounds.map(({ peakMiB }) => peakMiB),
        0,
      ),
    };
    const measured = Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== undefined));
    return { name: `${subject.name} ${megapixels} Mpx, ${name}`, durable, what, ...measured };
  });
  if (!subject.main) return { arms, targets: [] };
  const twice = by('mesh, 2 nodes');
  const peaks = contenders.flatMap(({ name, rounds }) =>
    name.startsWith('mesh') ? rounds.flatMap(({ peakMiB }) => peakMiB ?? []) : [],
  );
  const targets = [
    atMost('mesh, 2 nodes ÷ vips hist_equal', ratioRange(twice, by('vips hist_equal')).median, vipsRatioMax),
    atMost(
      'mesh, 2 nodes ÷ one process, 2 threads',
      ratioRange(twice, by('one process, 2 threads')).median,
      overheadMax,
    ),
    ...(idleMiB === null || peaks.length === 0
      ? []
      : [
          atMost(
            'peak memory of a node above idle, MiB',
            Math.max(...peaks) - idleMiB,
            memoryAboveIdleMaxMiB,
          ),
        ]),
  ];
  const speedUp = (one: string, two: string) => rounded(ratioRange(by(one), by(two)), 2);
  Object.assign(arms.at(-1)!, {
    ratio: speedUp('mesh, 1 node', 'mesh, 2 nodes'),
    chunkPixels: plan.chunkPixels,
  });
  return { arms, targets };
}
