/**
 * Runs programs of the equalizer as child processes, because only that package can decode images.
 */
import { execFile } from 'node:child_process';
import path from 'node:path';
import { promisify } from 'node:util';
import { messageOf } from '@thermomesh/runtime';
import type { MeshConfig } from '../../config.ts';
import { meshError } from '../../errors.ts';
import { equalizerProcess } from '../equalizer-process.ts';

const run = promisify(execFile);
const timeoutMs = 300_000;
const outputBytesMax = 4 * 1024 * 1024;

/**
 * Runs a program and returns its output.
 * @throws MeshError `equalizer.program_failed` with the program's own reason
 */
export async function runEqualizerProgram(
  { root, environment }: MeshConfig,
  program: 'picture' | 'reference' | 'samples',
  words: readonly string[],
): Promise<string> {
  const script = path.join(root, 'services/equalizer/src/programs', program, 'main.ts');
  try {
    const { stdout } = await run(process.execPath, [script, ...words], {
      env: { ...environment, ...equalizerProcess(environment) },
      timeout: timeoutMs,
      maxBuffer: outputBytesMax,
    });
    return stdout;
  } catch (error) {
    const said = (error as { stderr?: string }).stderr?.trim() ?? '';
    const why = said === '' ? messageOf(error) : said;
    throw meshError('equalizer.program_failed', `${program}: ${why}`, { cause: error });
  }
}

/** An image, the parameters of its job, and the expected result. */
export interface Sample {
  kind: string;
  file: string;
  /** File with the result of a single process. */
  expected: string;
  fields: Record<string, string>;
}

/**
 * Creates images of many kinds in `folder`.
 * @param side approximate side length in pixels
 */
export async function makeSamples(config: MeshConfig, folder: string, side: number): Promise<Sample[]> {
  const printed = await runEqualizerProgram(config, 'samples', [folder, '--side', String(side)]);
  return (JSON.parse(printed) as { samples: Sample[] }).samples;
}
