/**
 * A program that equalizes one image file in this process alone and prints one line of JSON.
 */
import { parseArgs } from 'node:util';
import { messageOf } from '@thermomesh/runtime';
import { equalizerError } from '../../core/errors.ts';
import { readRequest } from '../../core/request.ts';
import { imageLimitsDefault } from '../../image/index.ts';
import { createImageWorkers } from '../../worker/index.ts';
import { equalizeAlone, referenceChunksMax } from './equalize.ts';

const usage = `Usage: node src/programs/reference/main.ts FILE OUT [--mode MODE] [--definition NAME] [--format FORMAT] [--page N] [--quality N]
         [--threads N] [--chunk-pixels N]

Equalizes FILE into OUT in this process alone. Prints {"seconds", "bytes", "peakMiB"};
the seconds do not include the start of the process.

  --mode         luminance, grey, per-channel or clahe. Default: as the image requires
  --definition   opencv, pillow, vips or textbook
  --format       jpeg, png, webp or tiff. Default: the format of FILE
  --page         page of a multipage TIFF, from 0. Default: 0
  --quality      quality of a JPEG result, 1 to 100. Default: 92
  --threads      worker threads. Default: 2
  --chunk-pixels pixels of one chunk. Default: 4194304`;

const text = { type: 'string' } as const;
const options = { mode: text, definition: text, format: text, page: text, quality: text };
const own = { threads: text, 'chunk-pixels': text, help: { type: 'boolean' } } as const;

try {
  const { values, positionals } = parseArgs({ allowPositionals: true, options: { ...options, ...own } });
  const { threads = '2', 'chunk-pixels': chunkPixels = '4194304', help, ...fields } = values;
  const [file, out] = positionals;
  if (help === true || file === undefined || out === undefined || positionals.length > 2) {
    console.log(usage);
    process.exit(help === true ? 0 : 2);
  }
  const [threadsMax, chunkPixelsMax] = [threads, chunkPixels].map(positive) as [number, number];
  const limits = imageLimitsDefault;
  const workers = createImageWorkers({ threads: threadsMax, queueMax: referenceChunksMax, limits });
  workers.warm();
  const startedAt = performance.now();
  const request = readRequest(fields);
  const bytes = await equalizeAlone({
    file,
    out,
    request,
    workers,
    limits,
    chunkPixelsMax,
  });
  const seconds = (performance.now() - startedAt) / 1000;
  const peakMiB = Math.round(process.resourceUsage().maxRSS / 1024);
  await workers.close();
  console.log(JSON.stringify({ seconds, bytes, peakMiB }));
} catch (error) {
  console.error(messageOf(error));
  process.exitCode = 1;
}

function positive(value: string): number {
  if (!/^[1-9][0-9]{0,8}$/.test(value))
    throw equalizerError('usage', `${value} is not a positive number\n${usage}`);
  return Number(value);
}
