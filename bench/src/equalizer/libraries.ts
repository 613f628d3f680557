/**
 * The libraries for comparison: they generate images, and equalize them with libvips and Pillow.
 */
import { execFile, spawn } from 'node:child_process';
import path from 'node:path';
import { promisify } from 'node:util';
import { findImageLibraries, type ImageLibraries } from '@thermomesh/image-libraries';
import { childEnvironment, repository } from '../config.ts';
import { benchError } from '../errors.ts';

const run = promisify(execFile);
const timeoutMs = 600_000;
/** A dim photograph's histogram: most values in a narrow range. */
const [mean, sigma] = [110, 18];

/** Finds libvips and Pillow. @throws MeshError `bench.libraries_absent` */
export async function imageLibraries(): Promise<ImageLibraries> {
  const found = await findImageLibraries(path.join(repository, '.mesh/tools'), childEnvironment());
  if ('missing' in found) throw benchError('bench.libraries_absent', found.missing);
  return found;
}

/** Writes a low-contrast image. @param file may end with options of libvips in brackets */
export async function generate(
  libraries: ImageLibraries,
  side: number,
  file: string,
  scratch: string,
): Promise<void> {
  const words = (...each: (string | number)[]): string[] => each.map(String);
  await vips(libraries, words('gaussnoise', `${scratch}.v`, side, side, '--mean', mean, '--sigma', sigma));
  await vips(libraries, words('cast', `${scratch}.v`, file, 'uchar'));
}

/** Runs one command of libvips. @returns its output */
export async function vips(libraries: ImageLibraries, words: readonly string[]): Promise<string> {
  const { stdout } = await run(libraries.vips, words, { env: libraries.env, timeout: timeoutMs });
  return stdout.trim();
}

/** Counts the pixels that differ between the two files, by libvips' own comparison. */
export async function differences(libraries: ImageLibraries, ours: string, theirs: string): Promise<number> {
  const scratch = `${ours}.differs.v`;
  await vips(libraries, ['relational', ours, theirs, scratch, 'noteq']);
  return Number(await vips(libraries, ['avg', scratch]));
}

/**
 * Runs `vips hist_equal`, to a file with the layout of its input.
 * @returns seconds, from the start of the command to its end
 */
export async function vipsHistEqual(libraries: ImageLibraries, file: string, out: string): Promise<number> {
  return timed(libraries, libraries.vips, ['hist_equal', file, out]);
}

/**
 * Runs Pillow's `ImageOps.equalize`; Pillow also reads and writes the files.
 * @returns seconds, from the start of the command to its end
 */
export async function pillowEqualize(libraries: ImageLibraries, file: string, out: string): Promise<number> {
  const script =
    'import sys\nfrom PIL import Image, ImageOps\nImage.MAX_IMAGE_PIXELS = None\n' +
    'ImageOps.equalize(Image.open(sys.argv[1])).save(sys.argv[2])\n';
  return timed(libraries, '/usr/bin/python3', ['-c', script, file, out]);
}

async function timed(libraries: ImageLibraries, program: string, words: readonly string[]): Promise<number> {
  const startedAt = performance.now();
  const child = spawn(program, words, {
    env: libraries.env,
    stdio: ['ignore', 'ignore', 'pipe'],
    timeout: timeoutMs,
  });
  let said = '';
  child.stderr.on('data', (bytes: Buffer) => (said += bytes.toString()));
  const code = await new Promise<number | null>((resolve, reject) => {
    child.once('error', reject);
    child.once('close', resolve);
  });
  if (code !== 0)
    throw benchError('bench.library_failed', `${program} ended with ${code}: ${said.slice(0, 500)}`);
  return (performance.now() - startedAt) / 1000;
}
