/** The pixel work on rectangles of spools: count, map, put together. Memory is a few blocks, however large the rectangle. */
import { renameSync, rmSync } from 'node:fs';
import {
  applyTables,
  histogramOf,
  type EqualizationPlan,
  type Histogram,
  type LookupTables,
  type Raster,
  type Samples,
} from '@thermomesh/equalization';
import { imageFault } from './faults.ts';
import {
  checkRectangle,
  closePixels,
  openBarePixels,
  openSpoolPixels,
  readPixels,
  runsOf,
  writePixels,
  type PixelFile,
  type Rectangle,
} from './spool.ts';
import { pixelBytes, type SpoolShape } from './spool-file.ts';

/** Bytes that are read, worked on and written at once. */
export const blockBytes = 1024 * 1024;

/** Where the result of a rectangle goes: into its place in a spool, or into a file of its own, which appears whole or not at all. */
export type ResultPlace = { spool: string } | { file: string };

/**
 * Counts the pixels of a rectangle of a spool.
 * @throws MeshError `image.outside`, `image.spool_damaged`; EqualizationError
 */
export function countRectangle(
  spool: string,
  shape: SpoolShape,
  plan: EqualizationPlan,
  rectangle: Rectangle,
): Histogram {
  checkPlan(plan, shape);
  checkRectangle(shape, rectangle);
  const counts = new Uint32Array(plan.planes * plan.bins);
  const source = openSpoolPixels(spool, shape, 'r');
  try {
    for (const { raster } of blocksOf(source, shape, rectangle)) {
      const block = histogramOf(plan, raster).counts;
      for (let bin = 0; bin < counts.length; bin++) counts[bin]! += block[bin]!;
    }
  } finally {
    closePixels(source);
  }
  return { pixels: rectangle.width * rectangle.height, counts };
}

/**
 * Maps the pixels of a rectangle of a spool through the tables. The same call writes the same bytes: a repeat harms nothing.
 * @returns bytes written
 * @throws MeshError `image.outside`, `image.spool_damaged`; EqualizationError
 */
export function mapRectangle(
  spool: string,
  shape: SpoolShape,
  plan: EqualizationPlan,
  tables: LookupTables,
  rectangle: Rectangle,
  place: ResultPlace,
): number {
  checkPlan(plan, shape);
  checkRectangle(shape, rectangle);
  const result: SpoolShape = { ...shape, channels: plan.outputChannels };
  const source = openSpoolPixels(spool, shape, 'r');
  try {
    return writeResult(place, result, (sink, whole) => {
      let bytes = 0;
      for (const { raster, at, inside } of blocksOf(source, shape, rectangle)) {
        // In place where it fits: a block of garbage for each block would cost more than the mapping.
        const target = plan.outputChannels === plan.channels ? raster : undefined;
        const mapped = bytesOf(applyTables(plan, tables, raster, target).samples);
        writePixels(sink, whole ? at : inside, mapped);
        bytes += mapped.length;
      }
      return bytes;
    });
  } finally {
    closePixels(source);
  }
}

/**
 * Puts a rectangle's own file into its place in a spool.
 * @throws MeshError `image.outside`, `image.spool_damaged`: the file is too short
 */
export function placeRectangle(spool: string, shape: SpoolShape, rectangle: Rectangle, file: string): void {
  checkRectangle(shape, rectangle);
  const source = openBarePixels(file, shape, 'r');
  try {
    const target = openSpoolPixels(spool, shape, 'r+');
    try {
      const buffer = new Uint8Array(blockPixels(shape) * pixelBytes(shape));
      for (const run of runsOf(shape, rectangle, blockPixels(shape))) {
        const bytes = buffer.subarray(0, run.pixels * pixelBytes(shape));
        readPixels(source, run.inside, bytes);
        writePixels(target, run.at, bytes);
      }
    } finally {
      closePixels(target);
    }
  } finally {
    closePixels(source);
  }
}

function writeResult(
  place: ResultPlace,
  shape: SpoolShape,
  write: (target: PixelFile, whole: boolean) => number,
): number {
  if ('spool' in place) {
    const target = openSpoolPixels(place.spool, shape, 'r+');
    try {
      return write(target, true);
    } finally {
      closePixels(target);
    }
  }
  // A name of its own for each try: two workers that do the same chunk do not write into each other's file.
  const aside = `${place.file}.${crypto.randomUUID()}.part`;
  try {
    const target = openBarePixels(aside, shape, 'w');
    let bytes: number;
    try {
      bytes = write(target, false);
    } finally {
      closePixels(target);
    }
    renameSync(aside, place.file);
    return bytes;
  } catch (error) {
    rmSync(aside, { force: true });
    throw error;
  }
}

function* blocksOf(source: PixelFile, shape: SpoolShape, rectangle: Rectangle) {
  const size = pixelBytes(shape);
  const buffer = new ArrayBuffer(Math.min(blockPixels(shape), rectangle.width * rectangle.height) * size);
  for (const run of runsOf(shape, rectangle, blockPixels(shape))) {
    readPixels(source, run.at, new Uint8Array(buffer, 0, run.pixels * size));
    const length = run.pixels * shape.channels;
    const samples: Samples =
      shape.depth === 8 ? new Uint8Array(buffer, 0, length) : new Uint16Array(buffer, 0, length);
    const raster: Raster = { samples, width: run.pixels, height: 1 };
    yield { raster, at: run.at, inside: run.inside };
  }
}

function blockPixels(shape: SpoolShape): number {
  return Math.floor(blockBytes / pixelBytes(shape));
}

function bytesOf(samples: Samples): Uint8Array {
  return new Uint8Array(samples.buffer, samples.byteOffset, samples.byteLength);
}

/** A plan for other pixels would count rubbish without a word. */
function checkPlan(plan: EqualizationPlan, shape: SpoolShape): void {
  if (plan.channels === shape.channels && plan.depth === shape.depth) return;
  throw imageFault(
    'image.spool_damaged',
    `the plan is for ${plan.channels} channels of ${plan.depth} bit, the spool has ${shape.channels} of ${shape.depth}`,
  );
}
