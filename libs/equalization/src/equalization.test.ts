import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { applyTables, emptyRaster } from './apply.ts';
import { decodeHistogram, decodeTables, encodeHistogram, encodeTables } from './codec.ts';
import { histogramOf } from './histogram.ts';
import { lumaOf } from './luma.ts';
import { HistogramMerge } from './merge.ts';
import { planEqualization } from './plan.ts';
import { lookupTablesOf } from './tables.ts';
import { cases, cut, generator, pixelsIn, rasterOf, window, type Case } from './testing/images.ts';
import { equalizeNaively } from './testing/reference.ts';

const seed = Date.now() & 0x7fffffff;
const imagesMin = 1_100;

/**
 * Through bytes at each step, as between processes; results arrive in any order, some of them
 * twice.
 */
function equalizeInChunks({ image, gap, mode, definition, chunks, order }: Case): number[][] {
  const plan = planEqualization({ mode, definition, depth: image.depth, channels: image.channels });
  const raster = rasterOf(image, gap);
  const parts = cut(image.width, image.height, chunks).map((part, at) => ({ id: `chunk-${at}`, part }));
  const merge = new HistogramMerge(
    plan,
    new Map(parts.map(({ id, part }) => [id, part.width * part.height])),
  );
  const next = generator(order);
  const deliveries = [...parts, ...parts.filter(() => next() % 3 === 0)].sort(() => (next() % 2) - 0.5);
  for (const { id, part } of deliveries) {
    const counted = histogramOf(plan, window(raster, plan.channels, part));
    merge.put(id, decodeHistogram(plan, encodeHistogram(counted)));
  }
  const tables = decodeTables(plan, encodeTables(lookupTablesOf(plan, merge.totals())));
  const target = emptyRaster(plan, image.width, image.height);
  for (const { part } of deliveries) {
    applyTables(plan, tables, window(raster, plan.channels, part), window(target, plan.outputChannels, part));
  }
  return pixelsIn(target, plan.outputChannels);
}

describe('equalization', () => {
  it(`any image, mode and cut equals the naive reference (seed ${seed})`, () => {
    fc.assert(
      fc.property(cases, (each) => {
        const expected = equalizeNaively(each.image, each.mode, each.definition);
        assert.deepEqual(equalizeInChunks(each), expected);
      }),
      { numRuns: imagesMin, seed },
    );
  });

  it(`a flat image stays flat and alpha stays unchanged (seed ${seed})`, () => {
    fc.assert(
      fc.property(cases, (each) => {
        const flat = {
          ...each,
          image: { ...each.image, pixels: each.image.pixels.map(() => each.image.pixels[0]!) },
        };
        const result = equalizeInChunks(flat);
        const alpha = each.image.channels % 2 === 0 ? 1 : 0;
        assert.equal(new Set(result.map((pixel) => pixel.join())).size, 1);
        if (each.definition !== 'vips' && each.mode !== 'grey') assert.deepEqual(result, flat.image.pixels);
        if (alpha === 1) assert.equal(result[0]!.at(-1), flat.image.pixels[0]!.at(-1));
      }),
      { numRuns: 100, seed },
    );
  });

  it(`luminance never shifts a hue (seed ${seed})`, () => {
    const colour = cases.filter(({ image }) => image.channels >= 3);
    fc.assert(
      fc.property(colour, (each) => {
        const result = equalizeInChunks({ ...each, mode: 'luminance' });
        const max = 2 ** each.image.depth - 1;
        each.image.pixels.forEach((before, at) => {
          hueHolds(before, result[at]!, max);
        });
      }),
      { numRuns: 150, seed },
    );
  });

  it('rows overwritten in place give the same result as a copy', () => {
    const plan = planEqualization({ depth: 8, channels: 3 });
    const next = generator(7);
    const samples = Uint8Array.from({ length: 60 }, () => next() % 256);
    const raster = { samples, width: 5, height: 4 };
    const counted = histogramOf(plan, raster);
    const merge = new HistogramMerge(plan, new Map([['all', 20]]));
    merge.put('all', counted);
    const tables = lookupTablesOf(plan, merge.totals());
    const copy = applyTables(plan, tables, raster);
    assert.deepEqual(applyTables(plan, tables, raster, raster).samples, copy.samples);
  });
});

describe('long rows of bytes', () => {
  const pixels = 300_007;

  it('long rows are counted and mapped like single bytes, at any alignment', () => {
    const plan = planEqualization({ depth: 8, channels: 1 });
    const next = generator(11);
    const table = Uint8Array.from({ length: 256 }, () => next() % 256);
    for (const [from, to] of [
      [0, 0],
      [1, 0],
      [2, 2],
      [4, 1],
      [3, 3],
    ] as const) {
      for (const length of [pixels - 1, pixels, pixels + 1, pixels + 2]) {
        const samples = Uint8Array.from({ length: length + from }, () => next() % 256).subarray(from);
        const counts = new Uint32Array(256);
        for (const sample of samples) counts[sample]!++;
        const raster = { samples, width: length, height: 1 };
        assert.deepEqual(histogramOf(plan, raster).counts, counts);
        assert.deepEqual(
          histogramOf(plan, raster, Uint32Array.from(counts)).counts,
          counts.map((count) => 2 * count),
        );
        const target = { ...raster, samples: new Uint8Array(length + to).subarray(to) };
        const wanted = samples.map((sample) => table[sample]!);
        assert.deepEqual(applyTables(plan, { entries: table }, raster, target).samples, wanted);
        assert.deepEqual(applyTables(plan, { entries: table }, raster, raster).samples, wanted);
      }
    }
  });
});

/**
 * The order of the channels stays, and so do their differences wherever nothing had to be drawn in.
 */
function hueHolds(before: number[], after: number[], max: number): void {
  const [r, g, b] = before as [number, number, number];
  const [r2, g2, b2] = after as [number, number, number];
  const change = lumaOf(r2, g2, b2) - lumaOf(r, g, b);
  const drawnIn = [r, g, b].some((value) => value + change < 0 || value + change > max);
  for (const [one, other, one2, other2] of [
    [r, g, r2, g2],
    [g, b, g2, b2],
    [b, r, b2, r2],
  ] as const) {
    assert.ok(one2 === other2 || one2 > other2 === one > other, 'two channels changed places');
    assert.ok(Math.abs(one2 - other2) <= Math.abs(one - other) + 1, 'colour grew');
    // Rounding may move the luma of a pixel that was drawn in by one: then a neighbour of the range
    // looks as if it fitted.
    const near = [r, g, b].some((value) => value + change <= 1 || value + change >= max - 1);
    if (!drawnIn && !near) assert.equal(one2 - other2, one - other);
  }
}
