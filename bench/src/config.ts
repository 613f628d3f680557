/** Arguments, and what children get of the environment; the only reader of both here. */
import path from 'node:path';
import { parseArgs } from 'node:util';
import { MeshError, messageOf } from '@thermomesh/runtime';
import { fullPlan, quickPlan, sections, type IngestPlan, type Section } from './ingest/plan.ts';

export const repository = path.resolve(import.meta.dirname, '../..');

export interface BenchOptions {
  /** Kept in the document. */
  name: string;
  json: boolean;
  /** A missed target makes the exit code 1. */
  strict: boolean;
  only: readonly Section[];
  plan: IngestPlan;
  /** Folder for CPU profiles of gateway and node; undefined writes none. */
  profileDir: string | undefined;
}

export const usage = `Usage: npm run bench -- ingest [--quick] [--json] [--strict] [--only PART,…] [--profile FOLDER]

Measures the telemetry path on this machine, every arm in the same run, in interleaved rounds. It starts servers of its own on
free ports and in a temporary folder, and ends them.

  --quick           about a minute and a half; without it about 20 minutes, with backlogs to 1,000,000 and 120 kills
  --json            print one JSON document on stdout (BenchDocument), for machines
  --strict          exit code 1 if a target is missed; else only if an arm could not be measured
  --only PART,…     of ${sections.join(', ')}
  --profile FOLDER  let gateway and node write CPU profiles (.cpuprofile) there
  --name NAME       kept in the document
  --help            print this`;

/** @throws MeshError `usage`, or `help` */
export function readOptions(words: readonly string[]): BenchOptions {
  const { values, positionals } = parse(words);
  if (values.help === true) throw new MeshError('help', usage);
  if (positionals.length !== 1 || positionals[0] !== 'ingest')
    throw new MeshError('usage', `say what to measure: ingest\n${usage}`);
  const only = values.only === undefined ? sections : values.only.split(',');
  const unknown = only.filter((name) => !sections.includes(name as Section));
  if (unknown.length > 0)
    throw new MeshError(
      'usage',
      `unknown part: ${unknown.join(', ')}; there are ${sections.join(', ')}\n${usage}`,
    );
  return {
    name: values.name ?? 'bench',
    json: values.json === true,
    strict: values.strict === true,
    only: only as readonly Section[],
    plan: values.quick === true ? quickPlan : fullPlan,
    profileDir: values.profile === undefined ? undefined : path.resolve(values.profile),
  };
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
