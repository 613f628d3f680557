import assert from 'node:assert/strict';
import { readFileSync, truncateSync } from 'node:fs';
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
import type { Rectangle, SpoolShape } from './formats/layout.ts';
import { countRectangle, mapRectangle } from './pixels.ts';
import { createResult } from './result.ts';
import { createSpool } from './spool/spool.ts';
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
async function tablesFor(
  spool: string,
  shape: SpoolShape,
  plan: EqualizationPlan,
  cut: Rectangle[],
): Promise<LookupTables> {
  const merge = new HistogramMerge(plan, new Map(cut.map((part, at) => [`${at}`, part.width * part.height])));
  for (const [at, part] of cut.entries()) merge.put(`${at}`, await countRectangle(spool, shape, plan, part));
  return lookupTablesOf(plan, merge.totals());
}

async function spoolOf(files: Place, shape: SpoolShape): Promise<Uint8Array | Uint16Array> {
  const samples = noise(shape, 11, shape.depth === 8 ? 90 : 9_000);
  await imageOf(shape, samples).png().toFile(files.at('in.png'));
  await decode(files.at('in.png'), files.at('spool'));
  return samples;
}

describe('rectangles of a spool', () => {
  it('chunks of any shape give the pixels of the whole image', async () => {
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
          const tables = await tablesFor(files.at('spool'), shape, plan, cut);
          const result = await createResult(files.at('spool'), files.at('result'), plan.outputChannels);
          for (const part of cut)
            await mapRectangle(files.at('spool'), shape, plan, tables, part, files.at('result'));
          assert.ok(
            spoolPixels(files.at('result'), result).equals(expected),
            `${mode} in ${cut.length} chunks`,
          );
        }
      }
    }
    assert.deepEqual(files.names(), ['in.png', 'result', 'spool']);
  });

  it('a chunk that is mapped twice changes nothing', async () => {
    using files = place();
    const shape = shapes[2]!;
    await spoolOf(files, shape);
    const plan = planEqualization(shape);
    const cut = bands(shape, 10);
    const tables = await tablesFor(files.at('spool'), shape, plan, cut);
    await createResult(files.at('spool'), files.at('result'), 3);
    const result = files.at('result');
    for (const part of cut) await mapRectangle(files.at('spool'), shape, plan, tables, part, result);
    const once = readFileSync(files.at('result'));
    for (const part of cut) await mapRectangle(files.at('spool'), shape, plan, tables, part, result);
    assert.ok(readFileSync(files.at('result')).equals(once));
  });

  it('a wrong rectangle, plan or result is refused', async () => {
    using files = place();
    const shape = shapes[2]!;
    await spoolOf(files, shape);
    const plan = planEqualization(shape);
    const spool = files.at('spool');
    const whole = { left: 0, top: 0, width: shape.width, height: shape.height };
    for (const wrong of [{ left: 1 }, { top: -1 }, { height: 0 }, { width: 1.5 }, { top: 2 ** 40 }]) {
      await assert.rejects(countRectangle(spool, shape, plan, { ...whole, ...wrong }), {
        code: 'image.outside',
      });
    }
    const grey = planEqualization(shapes[0]!);
    await assert.rejects(countRectangle(spool, shape, grey, whole), { code: 'image.spool_damaged' });
    const tables = await tablesFor(spool, shape, plan, [whole]);
    await createResult(spool, files.at('result'), 3);
    await createResult(spool, files.at('grey'), 1);
    const damaged = { code: 'image.spool_damaged' };
    await assert.rejects(mapRectangle(spool, shape, plan, tables, whole, files.at('grey')), damaged);
    // Cut otherwise, pixels would land in other places without a word.
    await createSpool(
      files.at('cut'),
      shape,
      { orientation: 1 },
      { cut: { tiled: true, width: 16, height: 16 } },
    );
    await assert.rejects(mapRectangle(spool, shape, plan, tables, whole, files.at('cut')), damaged);
    truncateSync(spool, 4_000);
    await assert.rejects(mapRectangle(spool, shape, plan, tables, whole, files.at('result')), damaged);
    await assert.rejects(countRectangle(spool, shape, plan, whole), damaged);
  });
});

describe('local equalization', () => {
  it('local equalization changes luma and keeps alpha and depth', async () => {
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

  it('local equalization is refused at 16 bit and above its pixel limit', async () => {
    using files = place();
    await spoolOf(files, shapes[6]!);
    const [spool, result] = [files.at('spool'), files.at('result')];
    await assert.rejects(clahe(spool, result), { code: 'image.unsupported_depth' });
    await assert.rejects(clahe(spool, result, {}, 100), { code: 'image.pixels_limit' });
    assert.deepEqual(files.names(), ['in.png', 'spool']);
  });
});
