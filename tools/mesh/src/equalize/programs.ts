/** Programs of the equalizer that tools run as processes: only there is code that knows pixels. */
import { execFile } from 'node:child_process';
import path from 'node:path';
import { promisify } from 'node:util';
import { MeshError, messageOf } from '@thermomesh/runtime';
import type { MeshConfig } from '../config.ts';
import { equalizerProcess } from '../supervisor/equalizer-process.ts';

const run = promisify(execFile);
const timeoutMs = 300_000;
const outputBytesMax = 4 * 1024 * 1024;

/** What the program prints. @throws MeshError `equalizer.program_failed` with the program's own reason */
export async function runEqualizerProgram(
  { root, environment }: MeshConfig,
  program: 'picture' | 'samples',
  words: readonly string[],
): Promise<string> {
  const script = path.join(root, 'services/equalizer/src', program, 'main.ts');
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
    throw new MeshError('equalizer.program_failed', `${program}: ${why}`, { cause: error });
  }
}

/** An image, what is asked of it, and what must become of it. */
export interface Sample {
  kind: string;
  file: string;
  /** The file that one process alone has made of it. */
  expected: string;
  fields: Record<string, string>;
}

/** Images of many kinds in `folder`. @param side about how long a side is, in pixels */
export async function makeSamples(config: MeshConfig, folder: string, side: number): Promise<Sample[]> {
  const printed = await runEqualizerProgram(config, 'samples', [folder, '--side', String(side)]);
  return (JSON.parse(printed) as { samples: Sample[] }).samples;
}
