/** Arguments, and what children get of the environment; the only reader of both here. */
import path from 'node:path';
import { parseArgs } from 'node:util';
import { MeshError, messageOf } from '@thermomesh/runtime';
import * as billing from './billing/plan.ts';
import * as equalizer from './equalizer/plan.ts';
import * as ingest from './ingest/plan.ts';

export const repository = path.resolve(import.meta.dirname, '../..');

interface CommonOptions {
  /** Kept in the document. */
  name: string;
  json: boolean;
  /** A missed target makes the exit code 1. */
  strict: boolean;
  /** Folder for CPU profiles of the programs under measurement; undefined writes none. */
  profileDir: string | undefined;
}
export type IngestOptions = CommonOptions & {
  what: 'ingest';
  only: readonly ingest.Section[];
  plan: ingest.IngestPlan;
};
export type BillingOptions = CommonOptions & { what: 'billing'; plan: billing.BillingPlan };
export type EqualizerOptions = CommonOptions & { what: 'equalizer'; plan: equalizer.EqualizerPlan };
export type BenchOptions = IngestOptions | BillingOptions | EqualizerOptions;

export const usage = `Usage: npm run bench -- ingest|billing|equalizer [--quick] [--json] [--strict] [--only PART,…] [--profile FOLDER]

Measures a path on this machine, every arm in the same run, in interleaved rounds. It starts servers of its own on free ports and
in a temporary folder, and ends them.

  ingest            readings, from publish to commit
  billing           payments, beside one database transaction a request
  equalizer         images, beside vips hist_equal, Pillow and one process without brokers

  --quick           ingest: under a minute and a half; without it about 20 minutes, with backlogs to 1,000,000 and 120 kills
                    billing: about a minute; without it about 8
                    equalizer: about two minutes; without it about 12
  --json            print one JSON document on stdout (BenchDocument), for machines
  --strict          exit code 1 if a target is missed; else only if an arm could not be measured
  --only PART,…     ingest: of ${ingest.sections.join(', ')}
  --profile FOLDER  let the programs under measurement write CPU profiles (.cpuprofile) there
  --name NAME       kept in the document
  --help            print this`;

/** @throws MeshError `usage`, or `help` */
export function readOptions(words: readonly string[]): BenchOptions {
  const { values, positionals } = parse(words);
  if (values.help === true) throw new MeshError('help', usage);
  const [what] = positionals;
  if (positionals.length !== 1 || (what !== 'ingest' && what !== 'billing' && what !== 'equalizer'))
    throw new MeshError('usage', `say what to measure: ingest, billing or equalizer\n${usage}`);
  const quick = values.quick === true;
  const common = {
    name: values.name ?? 'bench',
    json: values.json === true,
    strict: values.strict === true,
    profileDir: values.profile === undefined ? undefined : path.resolve(values.profile),
  };
  if (what === 'ingest')
    return { ...common, what, only: partsOf(values.only), plan: quick ? ingest.quickPlan : ingest.fullPlan };
  if (values.only !== undefined) throw new MeshError('usage', `${what} has no parts\n${usage}`);
  if (what === 'equalizer')
    return { ...common, what, plan: quick ? equalizer.quickPlan : equalizer.fullPlan };
  return { ...common, what, plan: quick ? billing.quickPlan : billing.fullPlan };
}

function partsOf(only: string | undefined): readonly ingest.Section[] {
  const parts: readonly string[] = only === undefined ? ingest.sections : only.split(',');
  const unknown = parts.filter((name) => !ingest.sections.includes(name as ingest.Section));
  if (unknown.length > 0)
    throw new MeshError(
      'usage',
      `unknown part: ${unknown.join(', ')}; there are ${ingest.sections.join(', ')}\n${usage}`,
    );
  return parts as readonly ingest.Section[];
}

function parse(words: readonly string[]) {
  try {
    return parseArgs({
      args: [...words],
      allowPositionals: true,
      options: {
        quick: { type: 'boolean' },
        json: { type: 'boolean' },
        strict: { type: 'boolean' },
        only: { type: 'string' },
        profile: { type: 'string' },
        name: { type: 'string' },
        help: { type: 'boolean' },
      },
    });
  } catch (error) {
    throw new MeshError('usage', `${messageOf(error)}\n${usage}`, { cause: error });
  }
}

/** Names that reach the processes under measurement: nothing of the surroundings may change what they do. */
const passedOn = ['PATH', 'HOME', 'TMPDIR', 'LANG', 'LD_LIBRARY_PATH', 'SystemRoot'];

export function childEnvironment(env: NodeJS.ProcessEnv = process.env): Record<string, string> {
  const entries = passedOn.flatMap((name) => (env[name] === undefined ? [] : [[name, env[name]] as const]));
  return Object.fromEntries(entries);
}
