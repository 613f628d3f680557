/** Runs an image through every step in this process and prints what it took: `{idleMiB, peakMiB}`. */
import { readFileSync } from 'node:fs';
import { lookupTablesOf, HistogramMerge, planEqualization } from '@thermomesh/equalization';
import { decode } from '../decode.ts';
import { encode, outputLike } from '../encode.ts';
import { countRectangle, mapRectangle } from '../pixels.ts';
import { createResult } from '../result.ts';
import { createSpool } from '../spool.ts';

const [file, work] = process.argv.slice(2) as [string, string];

/** From `/proc`, in MiB: `VmRSS` is what is resident now, `VmHWM` the most that ever was. */
function resident(key: 'VmRSS' | 'VmHWM'): number {
  const found = new RegExp(`${key}:\\s+(\\d+)`).exec(readFileSync('/proc/self/status', 'utf8'));
  return Number(found?.[1]) / 1024;
}

// Everything is loaded and has run once before it counts.
await createSpool(`${work}/small`, { width: 9, height: 9, channels: 3, depth: 8 }, { orientation: 1 });
await encode(`${work}/small`, `${work}/small.tif`, { format: 'tiff' });
await decode(`${work}/small.tif`, `${work}/small`);
const idleMiB = resident('VmRSS');

const { facts, shape } = await decode(file, `${work}/spool`);
const plan = planEqualization(shape);
const whole = { left: 0, top: 0, width: shape.width, height: shape.height };
const merge = new HistogramMerge(plan, new Map([['whole', shape.width * shape.height]]));
merge.put('whole', await countRectangle(`${work}/spool`, shape, plan, whole));
const tables = lookupTablesOf(plan, merge.totals());
await createResult(`${work}/spool`, `${work}/result`, plan.outputChannels);
await mapRectangle(`${work}/spool`, shape, plan, tables, whole, `${work}/result`);
await encode(`${work}/result`, `${work}/out`, outputLike(facts));
console.log(JSON.stringify({ idleMiB, peakMiB: resident('VmHWM') }));
