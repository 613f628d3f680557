/**
 * A program that writes images of many kinds, and for each the result of one process alone.
 */
import { mkdir } from 'node:fs/promises';
import path from 'node:path';
import { parseArgs } from 'node:util';
import { messageOf } from '@thermomesh/runtime';
import { equalizerError } from '../../core/errors.ts';
import { readRequest } from '../../core/request.ts';
import { imageLimitsDefault } from '../../image/index.ts';
import { equalizeAlone, referenceChunksMax } from '../reference/equalize.ts';
import { createImageWorkers } from '../../worker/index.ts';
import { sampleFile, sampleKinds, writeSample } from './kinds.ts';

const usage = `Usage: node src/programs/samples/main.ts FOLDER [--side PIXELS]

Writes images of many kinds into FOLDER, and the expected result of each into FOLDER/expected.
This process alone makes the results, in one chunk.
Prints {"samples": [{"kind", "file", "expected", "fields"}]}; fields are those of the request.

  --side   approximate length of a side in pixels. Default: 900`;

const sideMax = 20_000;

try {
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: { side: { type: 'string', default: '900' }, help: { type: 'boolean' } },
  });
  const [folder] = positionals;
  if (values.help === true || folder === undefined || positionals.length > 1) {
    console.log(usage);
    process.exit(values.help === true ? 0 : 2);
  }
  console.log(JSON.stringify({ samples: await makeSamples(path.resolve(folder), sideOf(values.side)) }));
} catch (error) {
  console.error(messageOf(error));
  process.exitCode = 1;
}

async function makeSamples(folder: string, side: number): Promise<unknown[]> {
  const limits = imageLimitsDefault;
  const workers = createImageWorkers({ threads: 1, queueMax: referenceChunksMax, limits });
  await mkdir(path.join(folder, 'expected'), { recursive: true });
  const samples = [];
  try {
    for (const kind of sampleKinds) {
      const file = path.join(folder, sampleFile(kind));
      const expected = path.join(folder, 'expected', kind.name);
      await writeSample(kind, side, file);
      const request = readRequest(kind.fields);
      const chunkPixelsMax = limits.pixelsMax;
      await equalizeAlone({ file, out: expected, request, workers, limits, chunkPixelsMax });
      samples.push({ kind: kind.name, file, expected, fields: kind.fields });
    }
  } finally {
    await workers.close();
  }
  return samples;
}

function sideOf(text: string): number {
  if (!/^[1-9][0-9]{0,4}$/.test(text) || Number(text) > sideMax)
    throw equalizerError('usage', `--side must be a whole number from 1 to ${sideMax}`);
  return Number(text);
}
