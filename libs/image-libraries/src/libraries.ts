/**
 * Finds and runs the real OpenCV, Pillow and libvips: those of the system, or else Debian's
 * packages, which are unpacked into a folder without root.
 */
import { execFile, spawn } from 'node:child_process';
import { existsSync, readdirSync } from 'node:fs';
import path from 'node:path';
import { text } from 'node:stream/consumers';
import { promisify } from 'node:util';
import { messageOf } from '@thermomesh/runtime';
import { libraryPath, unpackDebian } from '@thermomesh/servers';

const run = promisify(execFile);
const commandTimeoutMs = 300_000;

/** The three libraries and the environment that they need. */
export interface ImageLibraries {
  vips: string;
  /** The folder below which libopencv_core and libopencv_imgproc are. */
  opencvFolder: string;
  env: NodeJS.ProcessEnv;
  /** Where the libraries come from, for people. */
  origin: string;
}

/** One image for OpenCV or Pillow. */
export interface LibraryJob {
  library: 'opencv' | 'pillow';
  mode: 'grey' | 'per-channel';
  file: string;
  out: string;
}

const python = '/usr/bin/python3';

/**
 * Finds the libraries or unpacks them below `toolsDir`: about 20 MB to download, 60 MB on disk.
 * @returns the libraries, or `{ missing }`: one line that says why they are absent and what to do
 */
export async function findImageLibraries(
  toolsDir: string,
  env: NodeJS.ProcessEnv,
): Promise<ImageLibraries | { missing: string }> {
  const wanted = ['python3', 'python3-pil', 'libvips-tools'];
  try {
    // Without package lists apt finds no package; only root may download them.
    const lacking = await lackingPackages(wanted, env).catch(async (error: unknown) => {
      if (process.getuid?.() !== 0) throw error;
      await run('apt-get', ['update'], { env, timeout: commandTimeoutMs });
      return lackingPackages(wanted, env);
    });
    const folder =
      lacking.length === 0
        ? '/'
        : await unpackDebian({ toolsDir, name: 'image-libraries', packages: lacking });
    const vips = path.join(folder, 'usr', 'bin', 'vips');
    const packages = path.join(folder, 'usr', 'lib', 'python3', 'dist-packages');
    // Debian's own interpreter: another `python3` may have another binary interface.
    if (!existsSync(python)) throw new Error(`no ${python}`);
    return {
      vips: existsSync(vips) ? vips : '/usr/bin/vips',
      opencvFolder: opencvFolder(folder),
      env: {
        ...env,
        PYTHONPATH: packages,
        ...(folder === '/' ? {} : { LD_LIBRARY_PATH: libraryPath(folder) }),
      },
      origin: folder,
    };
  } catch (error) {
    const why = messageOf(error).split('\n')[0];
    return {
      missing: `OpenCV, Pillow or libvips are absent (${why}): install ${wanted.join(', ')} and libopencv-imgproc`,
    };
  }
}

/**
 * Runs jobs in one Python process.
 * @returns the versions that the script reports, as JSON
 */
export async function runJobs(libraries: ImageLibraries, jobs: LibraryJob[]): Promise<string> {
  const script = path.join(import.meta.dirname, 'libraries.py');
  const child = spawn(python, [script, libraries.opencvFolder], {
    env: libraries.env,
    stdio: ['pipe', 'pipe', 'pipe'],
    timeout: commandTimeoutMs,
  });
  child.stdin.end(JSON.stringify(jobs));
  const ended = new Promise<number | null>((resolve, reject) => {
    child.on('error', reject);
    child.on('close', resolve);
  });
  const [output, errors, code] = await Promise.all([text(child.stdout), text(child.stderr), ended]);
  if (code !== 0) throw new Error(`python ended with ${code}: ${errors}`);
  return output.trim();
}

/** Runs `vips hist_equal`, which writes the result to `out`. */
export async function vipsHistEqual(libraries: ImageLibraries, file: string, out: string): Promise<void> {
  await run(libraries.vips, ['hist_equal', file, out], { env: libraries.env, timeout: commandTimeoutMs });
}

/** The package of libopencv_imgproc. Its name contains a version that differs between releases. */
async function opencvPackage(env: NodeJS.ProcessEnv): Promise<string> {
  const { stdout } = await run('apt-cache', ['depends', 'python3-opencv'], {
    env,
    timeout: commandTimeoutMs,
  });
  const name = /libopencv-imgproc[0-9a-z]+/.exec(stdout)?.[0];
  if (name === undefined) throw new Error('python3-opencv names no libopencv-imgproc');
  return name;
}

/** The packages that apt would install for `names` and OpenCV, and that this system lacks. */
async function lackingPackages(names: string[], env: NodeJS.ProcessEnv): Promise<string[]> {
  const args = ['-s', '--no-install-recommends', 'install', ...names, await opencvPackage(env)];
  const { stdout } = await run('apt-get', args, {
    env,
    timeout: commandTimeoutMs,
    maxBuffer: 16 * 1024 * 1024,
  });
  return [...stdout.matchAll(/^Inst (\S+)/gm)].map(([, name]) => name!).sort();
}

function opencvFolder(folder: string): string {
  const lib = path.join(folder, 'usr', 'lib');
  const place = [lib, ...readdirSync(lib).map((name) => path.join(lib, name))].find(
    (each) =>
      /-linux-gnu/.test(each) && readdirSync(each).some((name) => name.startsWith('libopencv_imgproc.so')),
  );
  return place ?? '/usr/lib';
}
