import assert from 'node:assert/strict';
import { readFileSync, statSync, truncateSync } from 'node:fs';
import { describe, it } from 'node:test';
import {
  applyTables,
  HistogramMerge,
  histogramOf,
  lookupTablesOf,
  planEqualization,
  type EqualizationPlan,
  type LookupTables,
} from '@thermomesh/equalization';
import { clahe } from './clahe.ts';
import { decode } from './decode.ts';
import { countRectangle, mapRectangle, placeRectangle } from './pixels.ts';
import { createResultSpool, runsOf, type Rectangle } from './spool.ts';
import type { SpoolShape } from './spool-file.ts';
import { bytesOf, imageOf, noise, place, shapes, spoolPixels, type Place } from './testing/samples.ts';

const bands = (shape: SpoolShape, rows: number): Rectangle[] =>
  Array.from({ length: Math.ceil(shape.height / rows) }, (_, band) => ({
    left: 0,
    top: band * rows,
    width: shape.width,
    height: Math.min(rows, shape.height - band * rows),
  }));
const tiles = (shape: SpoolShape, side: number): Rectangle[] =>
  bands(shape, side).flatMap((band) =>
    Array.from({ length: Math.ceil(shape.width / side) }, (_, column) => ({
      ...band,
      left: column * side,
      width: Math.min(side, shape.width - column * side),
    })),
  );

/** The tables of an image by way of its chunks, and by way of all its pixels at once. */
function tablesFor(spool: string, shape: SpoolShape, plan: EqualizationPlan, cut: Rectangle[]): LookupTables {
  const merge = new HistogramMerge(plan, new Map(cut.map((part, at) => [`${at}`, part.width * part.height])));
  for (const [at, part] of cut.entries()) merge.put(`${at}`, countRectangle(spool, shape, plan, part));
  return lookupTablesOf(plan, merge.totals());
}

async function spoolOf(files: Place, shape: SpoolShape): Promise<Uint8Array | Uint16Array> {
  const samples = noise(shape, 11, shape.depth === 8 ? 90 : 9_000);
  await imageOf(shape, samples).png().toFile(files.at('in.png'));
  await decode(files.at('in.png'), files.at('spool'));
  return samples;
}

describe('rectangles of a spool', () => {
  it('chunks-of-any-shape-give-the-pixels-of-the-whole-image', async () => {
    using files = place();
    for (const shape of shapes) {
      const samples = await spoolOf(files, shape);
      const { width, height } = shape;
      for (const mode of ['luminance', 'grey', 'per-channel'] as const) {
        const plan = planEqualization({ ...shape, mode });
        const all = new HistogramMerge(plan, new Map([['all', width * height]]));
        all.put('all', histogramOf(plan, { samples, width, height }));
        const expected = bytesOf(
          applyTables(plan, lookupTablesOf(plan, all.totals()), { samples, width, height }).samples,
        );
        for (const cut of shape.depth === 8 ? [bands(shape, 5), tiles(shape, 13)] : [tiles(shape, 31)]) {
          const tables = tablesFor(files.at('spool'), shape, plan, cut);
          const result = await createResultSpool(files.at('spool'), files.at('result'), plan.outputChannels);
          for (const [at, part] of cut.entries()) {
            const [from, own] = [files.at('spool'), files.at('chunk')];
            if (at % 2 === 0) {
              mapRectangle(from, shape, plan, tables, part, { spool: files.at('result') });
            } else {
              const bytes = mapRectangle(from, shape, plan, tables, part, { file: own });
              assert.equal(statSync(own).size, bytes);
              placeRectangle(files.at('result'), result, part, own);
            }
          }
          assert.ok(
            spoolPixels(files.at('result'), result).equals(expected),
            `${mode} in ${cut.length} chunks`,
          );
        }
      }
    }
    assert.deepEqual(files.names(), ['chunk', 'in.png', 'result', 'spool']);
  });

  it('a-chunk-that-is-done-twice-changes-nothing', async () => {
    using files = place();
    const shape = shapes[2]!;
    await spoolOf(files, shape);
    const plan = planEqualization(shape);
    const cut = bands(shape, 10);
    const tables = tablesFor(files.at('spool'), shape, plan, cut);
    await createResultSpool(files.at('spool'), files.at('result'), 3);
    const result = { spool: files.at('result') };
    for (const part of cut) mapRectangle(files.at('spool'), shape, plan, tables, part, result);
    const once = readFileSync(files.at('result'));
    for (const part of cut) mapRectangle(files.at('spool'), shape, plan, tables, part, result);
    assert.ok(readFileSync(files.at('result')).equals(once));
  });

  it('runs-cover-each-pixel-once-whatever-the-block', () => {
    const shape: SpoolShape = { width: 7, height: 5, channels: 3, depth: 16 };
    const rectangles = [
      { left: 0, top: 0, width: 7, height: 5 },
      { left: 0, top: 2, width: 7, height: 2 },
      { left: 3, top: 1, width: 2, height: 4 },
      { left: 6, top: 4, width: 1, height: 1 },
    ];
    for (const rectangle of rectangles) {
      for (const block of [1, 2, 3, 8, 100]) {
        const seen: [number, number][] = [];
        for (const run of runsOf(shape, rectangle, block)) {
          assert.ok(run.pixels > 0 && run.pixels <= block);
          for (let pixel = 0; pixel < run.pixels; pixel++) seen.push([run.at + pixel, run.inside + pixel]);
        }
        const expected: [number, number][] = [];
        for (let y = 0; y < rectangle.height; y++) {
          for (let x = 0; x < rectangle.width; x++) {
            expected.push([(rectangle.top + y) * 7 + rectangle.left + x, y * rectangle.width + x]);
          }
        }
        assert.deepEqual(seen, expected);
      }
    }
  });

  it('a-rectangle-outside-or-a-plan-for-other-pixels-is-refused-and-leaves-nothing', async () => {
    using files = place();
    const shape = shapes[2]!;
    await spoolOf(files, shape);
    const plan = planEqualization(shape);
    const spool = files.at('spool');
    const whole = { left: 0, top: 0, width: shape.width, height: shape.height };
    for (const wrong of [{ left: 1 }, { top: -1 }, { height: 0 }, { width: 1.5 }, { top: 2 ** 40 }]) {
      assert.throws(() => countRectangle(spool, shape, plan, { ...whole, ...wrong }), {
        code: 'image.outside',
      });
    }
    const grey = planEqualization(shapes[0]!);
    assert.throws(() => countRectangle(spool, shape, grey, whole), { code: 'image.spool_damaged' });
    const tables = tablesFor(spool, shape, plan, [whole]);
    truncateSync(spool, 4_000);
    assert.throws(() => mapRectangle(spool, shape, plan, tables, whole, { file: files.at('chunk') }), {
      code: 'image.spool_damaged',
    });
    assert.deepEqual(files.names(), ['in.png', 'spool']);
  });
});

describe('local equalization', () => {
  it('moves-luma-and-leaves-alpha-and-depth-alone', async () => {
    using files = place();
    for (const shape of shapes.filter(({ depth }) => depth === 8)) {
      const samples = await spoolOf(files, shape);
      assert.deepEqual(await clahe(files.at('spool'), files.at('result'), { side: 16 }), shape);
      const found = spoolPixels(files.at('result'), shape);
      const spread = (of: ArrayLike<number>) => {
        const first = Array.from(of).filter((_, at) => at % shape.channels === 0);
        return Math.max(...first) - Math.min(...first);
      };
      assert.ok(spread(found) > spread(samples) * 1.2, `${shape.channels} channels: no contrast was won`);
      if (shape.channels % 2 === 0) {
        const alpha = (_: number, at: number) => at % shape.channels === shape.channels - 1;
        assert.deepEqual([...found].filter(alpha), [...samples].filter(alpha));
      }
    }
    assert.deepEqual(files.names(), ['in.png', 'result', 'spool']);
  });

  it('is-refused-at-16-bit-and-above-its-limit-and-leaves-nothing', async () => {
    using files = place();
    await spoolOf(files, shapes[6]!);
    const [spool, result] = [files.at('spool'), files.at('result')];
    await assert.rejects(clahe(spool, result), { code: 'image.unsupported_depth' });
    await assert.rejects(clahe(spool, result, {}, 100), { code: 'image.pixels_limit' });
    assert.deepEqual(files.names(), ['in.png', 'spool']);
  });
});
