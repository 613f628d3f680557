/**
 * Runs an image through every step in this process and prints the memory used:
 * `{idleMiB, peakMiB}`. With `in-place` as the third argument, its pixels are read in place.
 */
import { readFileSync } from 'node:fs';
import { lookupTablesOf, HistogramMerge, planEqualization } from '@thermomesh/equalization';
import { decode } from '../decode.ts';
import { encode, outputLike } from '../encode.ts';
import { identify } from '../identify.ts';
import { countRectangle, mapRectangle } from '../pixels.ts';
import { createResult } from '../result.ts';
import { createSpool } from '../spool/spool.ts';

const [file, work, inPlace] = process.argv.slice(2) as [string, string, string?];

/** Resident memory from `/proc`, in MiB: `VmRSS` is the present value, `VmHWM` the maximum. */
function resident(key: 'VmRSS' | 'VmHWM'): number {
  const found = new RegExp(`${key}:\\s+(\\d+)`).exec(readFileSync('/proc/self/status', 'utf8'));
  return Number(found?.[1]) / 1024;
}

// Load and run everything once before the measurement.
await createSpool(`${work}/small`, { width: 9, height: 9, channels: 3, depth: 8 }, { orientation: 1 });
await encode(`${work}/small`, `${work}/small.tif`, { format: 'tiff' });
await decode(`${work}/small.tif`, `${work}/small`);
const idleMiB = resident('VmRSS');

const facts = await identify(file);
const { width, height, channels, depth } = facts;
const shape = { width, height, channels, depth };
const output = outputLike(facts);
const source = inPlace === undefined ? `${work}/spool` : file;
if (inPlace === undefined) await decode(file, source);
const plan = planEqualization(shape);
const whole = { left: 0, top: 0, width, height };
const merge = new HistogramMerge(plan, new Map([['whole', width * height]]));
merge.put('whole', await countRectangle(source, shape, plan, whole));
const tables = lookupTablesOf(plan, merge.totals());
await createResult(source, `${work}/result`, plan.outputChannels, inPlace === undefined ? undefined : output);
await mapRectangle(source, shape, plan, tables, whole, `${work}/result`);
await encode(`${work}/result`, `${work}/out`, output);
console.log(JSON.stringify({ idleMiB, peakMiB: resident('VmHWM') }));
