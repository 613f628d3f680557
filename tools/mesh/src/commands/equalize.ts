/** `mesh equalize` equalizes one image. */
import { existsSync } from 'node:fs';
import path from 'node:path';
import type { EqualizeDocument, ImageJob } from '@thermomesh/contracts';
import { definitions, modes } from '@thermomesh/equalization';
import { MeshError } from '@thermomesh/runtime';
import { Option, type Command } from 'commander';
import { createLogUpdate } from 'log-update';
import { meshError } from '../errors.ts';
import { keepJobs } from '../mesh/evidence/jobs.ts';
import { openMesh, type MeshContext } from '../mesh/mesh.ts';
import { clientOf, findJobPlace } from '../mesh/images/place.ts';
import { runEqualizerProgram } from '../mesh/images/programs.ts';
import { describeJob } from '../workloads/images/progress.ts';
import { equalize } from '../workloads/images/run.ts';
import { printJson, say, wholeNumber, withOutput, type OutputOptions } from './options.ts';
import { renderEqualized, renderJobs } from './view/images.ts';
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
The image goes through the gateway to an equalizer node; all nodes count and map its chunks.
The result has the same bytes as the result of a single process, whatever process dies meanwhile.
Default --mode: luminance for colour images, grey for grey images. Default --definition: opencv.
The mode clahe (local) has no definition.
The result keeps format and bit depth of the file unless --format is given. Ctrl-C cancels the job.

--picture draws before, after and both histograms into one PNG.
--key is an API key with the scope images ("mesh api-key create --scopes images"), or @file with
the key in it. Without it you act as the operator of the mesh.

Exit code: 1 if the image is refused, or the job fails or is cancelled; one line names the reason.

Examples:
  mesh equalize holiday.jpg --out better.jpg --picture both.png
  mesh equalize scan.tif --mode per-channel --definition vips --format png --out scan.png
  mesh equalize --jobs`;

export function addEqualize(program: Command, context: () => MeshContext): void {
  withOutput(program.command('equalize [file]'))
    .description('equalize an image by MapReduce over the equalizer nodes, and save the result')
    .option('--out <file>', 'save the result there')
    .addOption(new Option('--mode <mode>', 'what to equalize').choices([...modes, 'clahe']))
    .addOption(
      new Option('--definition <name>', 'the library whose formula is followed exactly').choices([
        ...definitions,
      ]),
    )
    .addOption(
      new Option('--format <format>', 'format of the result').choices(['jpeg', 'png', 'webp', 'tiff']),
    )
    .option('--page <n>', 'page of a TIFF with several pages, from 0', wholeNumber(0, 999_999))
    .option('--quality <n>', 'quality of a JPEG result', wholeNumber(1, 100))
    .option('--picture <png>', 'draw before, after and both histograms')
    .option('--url <url>', "a gateway or an equalizer node to use instead of the mesh's own")
    .option('--key <key>', 'an API key, or @file with the key in it')
    .option('--jobs', 'list your jobs instead, newest first')
    .addHelpText('after', help)
    .action(async (file: string | undefined, flags: EqualizeFlags) => {
      if (flags.jobs === true) return list(context(), file, flags);
      const document = await work(context(), file, flags).catch(endIfInterrupted);
      if (flags.json === true) printJson(document);
      else console.log(renderEqualized(document));
    });
}

/** Exits at once: an interrupted upload would keep the process alive until the upload ends. */
function endIfInterrupted(error: unknown): never {
  if (!(error instanceof MeshError) || error.code !== 'job.interrupted') throw error;
  say(`mesh: ${error.message}`);
  process.exit(1);
}

async function list(context: MeshContext, file: string | undefined, flags: EqualizeFlags): Promise<void> {
  if (file !== undefined) throw meshError('usage', '--jobs lists jobs: it takes no file');
  const jobs = await clientOf(findJobPlace(context, flags)).list();
  if (flags.json === true) printJson({ jobs });
  else console.log(renderJobs(jobs, process.stdout.isTTY));
}

async function work(
  context: MeshContext,
  file: string | undefined,
  flags: EqualizeFlags,
): Promise<EqualizeDocument> {
  const { out, picture } = flags;
  if (file === undefined || out === undefined)
    throw meshError(
      'usage',
      'name the image and the file for the result: mesh equalize in.png --out out.png',
    );
  if (!existsSync(file)) throw meshError('usage', `there is no file ${file}`);
  for (const target of [out, picture].filter((each) => each !== undefined)) {
    // Check this before the work rather than after it.
    if (!existsSync(path.dirname(path.resolve(target))))
      throw meshError('usage', `the folder of ${target} does not exist`);
  }
  const client = clientOf(findJobPlace(context, flags));
  // Only the jobs of the operator can be asked about later.
  const own = flags.url === undefined && flags.key === undefined;
  const keeper = own ? keepJobs(openMesh(context, flags.name), 'equalize') : undefined;
  const interrupted = untilInterrupted();
  const live = process.stderr.isTTY ? createLogUpdate(process.stderr) : undefined;
  const onProgress = (job: ImageJob | string) => live?.(typeof job === 'string' ? job : describeJob(job));
  const fields = fieldsOf(flags);
  const options = { client, file, fields, out, onProgress, interrupted, keeper };
  const equalized = await equalize(options).finally(() => {
    keeper?.close();
    live?.clear();
    live?.done();
  });
  if (picture !== undefined) await runEqualizerProgram(context.config, 'picture', [file, out, picture]);
  return { ...equalized, picture: picture ?? null };
}

function fieldsOf({ mode, definition, format, page, quality }: EqualizeFlags): Record<string, string> {
  const all = { mode, definition, format, page, quality };
  return Object.fromEntries(
    Object.entries(all).flatMap(([name, value]) => (value === undefined ? [] : [[name, String(value)]])),
  );
}
