/** `mesh equalize` */
import { existsSync } from 'node:fs';
import path from 'node:path';
import type { EqualizeDocument, ImageJob } from '@thermomesh/contracts';
import { definitions, modes } from '@thermomesh/equalization';
import { MeshError } from '@thermomesh/runtime';
import { Option, type Command } from 'commander';
import { createLogUpdate } from 'log-update';
import type { MeshConfig } from '../config.ts';
import { clientOf, findJobPlace } from '../equalize/place.ts';
import { runEqualizerProgram } from '../equalize/programs.ts';
import { describeJob } from '../equalize/progress.ts';
import { equalize } from '../equalize/run.ts';
import { renderEqualized, renderJobs } from '../view/images.ts';
import { printJson, say, wholeNumber, withOutput, type OutputOptions } from './options.ts';
import { untilInterrupted } from './zk-options.ts';

interface EqualizeFlags extends OutputOptions {
  mode?: string;
  definition?: string;
  format?: string;
  page?: number;
  quality?: number;
  out?: string;
  picture?: string;
  url?: string;
  key?: string;
  jobs?: boolean;
}

const help = `
The image goes through the gateway to whichever equalizer node is there; chunks of it are counted and mapped by
all of them. The result is, byte by byte, what a single process makes of it, whatever dies meanwhile.
Without --mode and --definition: luminance of colour, grey of grey, by OpenCV's formula; clahe (local) has no definition.
Format and depth stay those of the file unless --format says otherwise. Ctrl-C cancels the job.

--picture draws before, after and both histograms into one PNG. --key is an API key with the scope images
("mesh api-key create --scopes images"), or @file that holds one; without it you are the operator of the mesh.

Exit code: 1 if the image is refused, the job fails or is cancelled; one line says why.

Examples:
  mesh equalize holiday.jpg --out better.jpg --picture both.png
  mesh equalize scan.tif --mode per-channel --definition vips --format png --out scan.png
  mesh equalize --jobs`;

export function addEqualize(program: Command, config: () => MeshConfig): void {
  withOutput(program.command('equalize [file]'))
    .description('equalize an image by MapReduce over the equalizer nodes, and save the result')
    .option('--out <file>', 'where the result is saved')
    .addOption(new Option('--mode <mode>', 'what is equalized').choices([...modes, 'clahe']))
    .addOption(new Option('--definition <name>', 'whose formula, exactly').choices([...definitions]))
    .addOption(new Option('--format <format>', 'of the result').choices(['jpeg', 'png', 'webp', 'tiff']))
    .option('--page <n>', 'of a TIFF with several, from 0', wholeNumber(0, 999_999))
    .option('--quality <n>', 'of JPEG', wholeNumber(1, 100))
    .option('--picture <png>', 'before, after and both histograms')
    .option('--url <url>', "a gateway or equalizer instead of the mesh's own")
    .option('--key <key>', 'an API key, or @file')
    .option('--jobs', 'list your jobs instead, newest first')
    .addHelpText('after', help)
    .action(async (file: string | undefined, flags: EqualizeFlags) => {
      if (flags.jobs === true) return list(config(), file, flags);
      const document = await work(config(), file, flags).catch(endIfInterrupted);
      if (flags.json === true) printJson(document);
      else console.log(renderEqualized(document));
    });
}

/** An upload that was broken off would hold the process up until it ends by itself. */
function endIfInterrupted(error: unknown): never {
  if (!(error instanceof MeshError) || error.code !== 'job.interrupted') throw error;
  say(`mesh: ${error.message}`);
  process.exit(1);
}

async function list(config: MeshConfig, file: string | undefined, flags: EqualizeFlags): Promise<void> {
  if (file !== undefined) throw new MeshError('usage', '--jobs lists jobs: it takes no file');
  const jobs = await clientOf(findJobPlace(config, flags)).list();
  if (flags.json === true) printJson({ jobs });
  else console.log(renderJobs(jobs, process.stdout.isTTY));
}

async function work(
  config: MeshConfig,
  file: string | undefined,
  flags: EqualizeFlags,
): Promise<EqualizeDocument> {
  const { out, picture } = flags;
  if (file === undefined || out === undefined)
    throw new MeshError(
      'usage',
      'name the image and where the result goes: mesh equalize in.png --out out.png',
    );
  if (!existsSync(file)) throw new MeshError('usage', `there is no file ${file}`);
  for (const target of [out, picture].filter((each) => each !== undefined)) {
    // Hearing of it after the work would be late.
    if (!existsSync(path.dirname(path.resolve(target))))
      throw new MeshError('usage', `the folder of ${target} is not there`);
  }
  const client = clientOf(findJobPlace(config, flags));
  const interrupted = untilInterrupted();
  const live = process.stderr.isTTY ? createLogUpdate(process.stderr) : undefined;
  const onProgress = (job: ImageJob | string) => live?.(typeof job === 'string' ? job : describeJob(job));
  const fields = fieldsOf(flags);
  const options = { client, file, fields, out, onProgress, interrupted };
  const equalized = await equalize(options).finally(() => {
    live?.clear();
    live?.done();
  });
  if (picture !== undefined) await runEqualizerProgram(config, 'picture', [file, out, picture]);
  return { ...equalized, picture: picture ?? null };
}

function fieldsOf({ mode, definition, format, page, quality }: EqualizeFlags): Record<string, string> {
  const all = { mode, definition, format, page, quality };
  return Object.fromEntries(
    Object.entries(all).flatMap(([name, value]) => (value === undefined ? [] : [[name, String(value)]])),
  );
}
