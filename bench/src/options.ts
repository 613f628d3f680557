/** The command line of the bench. */
import path from 'node:path';
import { parseArgs } from 'node:util';
import { messageOf } from '@thermomesh/runtime';
import * as billing from './billing/plan.ts';
import * as equalizer from './equalizer/plan.ts';
import { benchError } from './errors.ts';
import * as ingest from './ingest/plan.ts';

interface CommonOptions {
  /** Name of the run, kept in the document. */
  name: string;
  json: boolean;
  /** A missed target makes the exit code 1. */
  strict: boolean;
  /** Folder for CPU profiles of the programs under measurement; undefined writes none. */
  profileDir: string | undefined;
}
type IngestCommand = CommonOptions & {
  what: 'ingest';
  only: readonly ingest.Section[];
  plan: ingest.IngestPlan;
};
type BillingCommand = CommonOptions & { what: 'billing'; plan: billing.BillingPlan };
type EqualizerCommand = CommonOptions & { what: 'equalizer'; plan: equalizer.EqualizerPlan };
/** What to measure, and how. */
export type BenchOptions = IngestCommand | BillingCommand | EqualizerCommand;

/** The help text. */
export const usage = `Usage: npm run bench -- ingest|billing|equalizer [options]

Measures one path of the mesh on this machine. All arms run in the same run, in interleaved
rounds. The bench starts its own servers on free ports and in a temporary folder, and ends them.

  ingest            readings, from publish to commit
  billing           payments, beside one database transaction per request
  equalizer         images, beside vips hist_equal, Pillow and one process without brokers

  --quick           ingest: under a minute and a half; without it about 20 minutes, with
                    backlogs of up to 1,000,000 readings and 120 kills
                    billing: about a minute; without it about 8
                    equalizer: about two minutes; without it about 12
  --json            print one JSON document (BenchDocument) on stdout, for machines
  --strict          exit with 1 if a target is missed, too; without it only if an arm fails
  --only PART,…     ingest: only these of ${ingest.sections.join(', ')}
  --profile FOLDER  write CPU profiles (.cpuprofile) of the programs under measurement there
  --name NAME       name of the run, kept in the document
  --help            print this text`;

/** Reads the command line. @throws MeshError `usage`, or `help` with the help text */
export function readOptions(words: readonly string[]): BenchOptions {
  const { values, positionals } = parse(words);
  if (values.help === true) throw benchError('help', usage);
  const [what] = positionals;
  if (positionals.length !== 1 || (what !== 'ingest' && what !== 'billing' && what !== 'equalizer'))
    throw benchError('usage', `say what to measure: ingest, billing or equalizer\n${usage}`);
  const quick = values.quick === true;
  const common = {
    name: values.name ?? 'bench',
    json: values.json === true,
    strict: values.strict === true,
    profileDir: values.profile === undefined ? undefined : path.resolve(values.profile),
  };
  if (what === 'ingest')
    return { ...common, what, only: partsOf(values.only), plan: quick ? ingest.quickPlan : ingest.fullPlan };
  if (values.only !== undefined) throw benchError('usage', `${what} has no parts\n${usage}`);
  if (what === 'equalizer')
    return { ...common, what, plan: quick ? equalizer.quickPlan : equalizer.fullPlan };
  return { ...common, what, plan: quick ? billing.quickPlan : billing.fullPlan };
}

function partsOf(only: string | undefined): readonly ingest.Section[] {
  const parts: readonly string[] = only === undefined ? ingest.sections : only.split(',');
  const unknown = parts.filter((name) => !ingest.sections.includes(name as ingest.Section));
  if (unknown.length > 0)
    throw benchError(
      'usage',
      `unknown part: ${unknown.join(', ')}; the parts are ${ingest.sections.join(', ')}\n${usage}`,
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
    throw benchError('usage', `${messageOf(error)}\n${usage}`, { cause: error });
  }
}
