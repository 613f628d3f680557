import assert from 'node:assert/strict';
import { readFileSync, statSync, truncateSync, writeFileSync } from 'node:fs';
import { describe, it } from 'node:test';
import {
  applyTables,
  HistogramMerge,
  histogramOf,
  lookupTablesOf,
  planEqualization,
  type EqualizationPlan,
} from '@thermomesh/equalization';
import { decode } from './decode.ts';
import { encode, outputLike } from './encode.ts';
import type { ImageFormat } from './formats/formats.ts';
import { identify } from './identify.ts';
import type { Rectangle, SpoolShape } from './formats/layout.ts';
import { sharp } from './library.ts';
import { countRectangle, mapRectangle } from './pixels.ts';
import { createResult } from './result.ts';
import { bytesOf, imageOf, noise, place, shapes, spoolPixels, type Place } from './testing/samples.ts';
import { tiffOf, type TiffVariant } from './testing/tiffs.ts';

const dim = (shape: SpoolShape) => noise(shape, 5, shape.depth === 8 ? 90 : 9_000);

/** Rectangles that fit neither strips nor tiles. */
const cut = (shape: SpoolShape, side: number): Rectangle[] => {
  const parts: Rectangle[] = [];
  for (let top = 0; top < shape.height; top += side)
    for (let left = 0; left < shape.width; left += shape.width)
      parts.push({ left, top, width: shape.width, height: Math.min(side, shape.height - top) });
  return parts;
};

/** The bare upload through count, map and encode, as the mesh does it. */
async function equalizeInPlace(
  files: Place,
  shape: SpoolShape,
  plan: EqualizationPlan,
  format?: ImageFormat,
  side = 13,
): Promise<string> {
  const [file, result, out] = [files.at('in'), files.at('result'), files.at('out')];
  const output = outputLike(await identify(file), format);
  const parts = cut(shape, side);
  const merge = new HistogramMerge(
    plan,
    new Map(parts.map((part, at) => [`${at}`, part.width * part.height])),
  );
  for (const [at, part] of parts.entries()) merge.put(`${at}`, await countRectangle(file, shape, plan, part));
  const tables = lookupTablesOf(plan, merge.totals());
  await createResult(file, result, plan.outputChannels, output);
  for (const part of parts) await mapRectangle(file, shape, plan, tables, part, result);
  assert.equal(await encode(result, out, output), statSync(out).size);
  return out;
}

function expected(shape: SpoolShape, samples: Uint8Array | Uint16Array, plan: EqualizationPlan): Buffer {
  const { width, height } = shape;
  const all = new HistogramMerge(plan, new Map([['all', width * height]]));
  all.put('all', histogramOf(plan, { samples, width, height }));
  return bytesOf(applyTables(plan, lookupTablesOf(plan, all.totals()), { samples, width, height }).samples);
}

const bare: [string, TiffVariant][] = [
  ['strips', { rows: 5 }],
  ['one strip', {}],
  ['strips in a BigTIFF', { rows: 7, big: true }],
  ['tiles', { tile: { width: 16, height: 16 } }],
  ['wide tiles in a BigTIFF', { tile: { width: 64, height: 16 }, big: true, padding: 0x5a }],
  ['tiles from the last to the first', { tile: { width: 16, height: 32 }, backwards: true, padding: 0xa5 }],
  ['strips from the last to the first', { rows: 4, backwards: true }],
];

describe('an image whose pixels lie bare', () => {
  for (const [name, variant] of bare) {
    it(`bare pixels as ${name} are read in place and the result keeps the layout`, async () => {
      using files = place();
      for (const shape of shapes) {
        const samples = dim(shape);
        writeFileSync(files.at('in'), tiffOf(shape, samples, variant));
        const before = readFileSync(files.at('in'));
        const facts = await identify(files.at('in'));
        assert.equal(facts.tiff?.bare, true, `${shape.channels} channels of ${shape.depth} bit`);
        for (const mode of ['luminance', 'grey', 'per-channel'] as const) {
          const plan = planEqualization({ ...shape, mode });
          const out = await equalizeInPlace(files, shape, plan);
          const result = { ...shape, channels: plan.outputChannels };
          assert.deepEqual((await identify(out)).tiff, facts.tiff);
          await decode(out, files.at('again'));
          const found = spoolPixels(files.at('again'), result);
          assert.ok(
            found.equals(expected(shape, samples, plan)),
            `${mode} of ${shape.channels}: other pixels`,
          );
          const bytes = readFileSync(out);
          await equalizeInPlace(files, shape, plan, undefined, 20);
          assert.ok(readFileSync(out).equals(bytes), 'the file tells how it was cut into chunks');
        }
        assert.ok(readFileSync(files.at('in')).equals(before), 'the upload was written to');
      }
    });
  }

  it('a bare image is converted to another format through a spool', async () => {
    using files = place();
    for (const shape of shapes) {
      const samples = dim(shape);
      writeFileSync(files.at('in'), tiffOf(shape, samples, { tile: { width: 16, height: 16 } }));
      const plan = planEqualization(shape);
      await decode(await equalizeInPlace(files, shape, plan, 'png'), files.at('again'));
      assert.ok(spoolPixels(files.at('again'), shape).equals(expected(shape, samples, plan)));
    }
  });

  it('a bare image keeps orientation, resolution, profile and XMP', async () => {
    using files = place();
    const shape = shapes[2]!;
    await imageOf(shape, dim(shape))
      .withIccProfile('p3')
      .withXmp('<?xpacket begin="" id=""?><x:xmpmeta xmlns:x="adobe:ns:meta/"/><?xpacket end="w"?>')
      .withMetadata({ orientation: 6, density: 300 })
      .tiff({ compression: 'none', xres: 300 / 25.4, yres: 300 / 25.4, resolutionUnit: 'inch' })
      .toFile(files.at('in'));
    assert.equal((await identify(files.at('in'))).tiff?.bare, true);
    const before = await sharp(files.at('in')).metadata();
    const out = await equalizeInPlace(files, shape, planEqualization(shape));
    const after = await sharp(out).metadata();
    for (const key of ['orientation', 'density', 'icc', 'xmp'] as const)
      assert.deepEqual(after[key], before[key], key);
    assert.notEqual(after.icc, undefined);
    const grey = await equalizeInPlace(files, shape, planEqualization({ ...shape, mode: 'grey' }));
    assert.equal((await sharp(grey).metadata()).icc, undefined);
  });

  it('an uncompressed image with samples of another kind is decoded', async () => {
    using files = place();
    const [grey, , rgb] = shapes;
    const wide = shapes[4]!;
    const others: [string, SpoolShape, TiffVariant][] = [
      ['sixteen bits in the other byte order', wide, { bigEndian: true }],
      ['white is zero', grey!, { fields: { 262: 0 } }],
      ['a plane for each colour', rgb!, { fields: { 284: 2 } }],
      ['alpha that colours were multiplied with', shapes[3]!, { fields: { 338: 1 } }],
      ['samples of another kind', grey!, { fields: { 339: 2 } }],
    ];
    for (const [name, shape, variant] of others) {
      writeFileSync(files.at('in'), tiffOf(shape, dim(shape), variant));
      const facts = await identify(files.at('in')).catch(() => undefined);
      assert.notEqual(facts?.tiff?.bare, true, name);
    }
    writeFileSync(files.at('in'), tiffOf(grey!, dim(grey!), { bigEndian: true }));
    assert.equal((await identify(files.at('in'))).tiff?.bare, true, 'bytes have no order');
    await imageOf(rgb!, dim(rgb!)).tiff({ compression: 'lzw' }).toFile(files.at('in'));
    assert.equal((await identify(files.at('in'))).tiff?.bare, false, 'compressed');
  });

  it('a bare image with missing pixels is refused and never read in place', async () => {
    using files = place();
    const shape = shapes[2]!;
    const whole = tiffOf(shape, dim(shape), { rows: 8 });
    // The directory stands before the pixels: a file that ends early has one.
    await imageOf(shape, dim(shape)).tiff({ compression: 'none' }).toFile(files.at('in'));
    const pixels = shape.width * shape.height * 3;
    assert.equal((await identify(files.at('in'))).tiff?.bare, true);
    const ended = Buffer.from(whole);
    const at = ended.readUInt32LE(4);
    const entries = ended.readUInt16LE(at);
    for (let entry = 0; entry < entries; entry++) {
      const from = at + 2 + entry * 12;
      if (ended.readUInt16LE(from) !== 273) continue;
      // The last strip lies behind the end of the file.
      ended.writeUInt32LE(
        whole.length - 10,
        ended.readUInt32LE(from + 8) + 4 * (ended.readUInt32LE(from + 4) - 1),
      );
    }
    writeFileSync(files.at('in'), ended);
    await assert.rejects(identify(files.at('in')), { code: 'image.truncated' });
    await assert.rejects(decode(files.at('in'), files.at('spool')), { code: /^image\.(truncated|damaged)$/ });
    const tables = lookupTablesOf(planEqualization(shape), {
      pixels: 1,
      counts: Float64Array.from({ length: 256 }, (_, bin) => (bin === 0 ? 1 : 0)),
    });
    const part = { left: 0, top: 0, width: shape.width, height: shape.height };
    await assert.rejects(countRectangle(files.at('in'), shape, planEqualization(shape), part), {
      code: 'image.spool_damaged',
    });
    writeFileSync(files.at('in'), whole);
    const plan = planEqualization(shape);
    await createResult(files.at('in'), files.at('result'), 3, outputLike(await identify(files.at('in'))));
    truncateSync(files.at('result'), Math.floor(pixels / 2));
    await assert.rejects(mapRectangle(files.at('in'), shape, plan, tables, part, files.at('result')), {
      code: 'image.spool_damaged',
    });
  });

  it('the mark of a spool in an upload changes nothing', async () => {
    using files = place();
    const shape = shapes[0]!;
    const samples = dim(shape);
    const upload = tiffOf(shape, samples, { big: true, rows: 9 });
    const marked = Buffer.concat([upload.subarray(0, 16), Buffer.from('MESHSPL1'), upload.subarray(24)]);
    const changed = Uint8Array.from(samples);
    changed.set(Buffer.from('MESHSPL1'), 0);
    writeFileSync(files.at('in'), marked);
    const plan = planEqualization(shape);
    await decode(await equalizeInPlace(files, shape, plan), files.at('again'));
    assert.ok(spoolPixels(files.at('again'), shape).equals(expected(shape, changed, plan)));
  });
});
