/**
 * Files that users of comparable systems have reported (`testing/field`). A `twin-*.png` has the
 * pixels that its TIFFs hold.
 */
import assert from 'node:assert/strict';
import { readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { describe, it } from 'node:test';
import { planEqualization } from '@thermomesh/equalization';
import { decode } from './decode.ts';
import { encode } from './encode.ts';
import type { ImageErrorCode } from './errors.ts';
import { identify } from './identify.ts';
import { sharp } from './library.ts';
import { createResult } from './result.ts';
import { equalizeHere } from './testing/here.ts';
import {
  dimPhotograph,
  imageOf,
  largestDifference,
  noise,
  place,
  shapes,
  spoolPixels,
} from './testing/samples.ts';
import { directoryOf, tiffOf } from './testing/tiffs.ts';

const field = (name: string) => path.join(import.meta.dirname, 'testing/field', name);
const rgb = shapes[2]!;

describe('images from the field', () => {
  for (const [name, twin] of [
    ['fillorder2.tif', 'twin-grey.png'],
    ['fillorder2-tiled.tif', 'twin-grey.png'],
    ['fillorder2-16.tif', 'twin-grey16.png'],
    ['fillorder2-rgb.tif', 'twin-rgb.png'],
  ] as const) {
    it(`${name}, whose bytes begin with the lowest bit, equals its twin`, async () => {
      using files = place();
      const facts = await identify(field(name));
      assert.equal(facts.tiff?.bare, false);
      const plan = planEqualization(facts);
      const found = await equalizeHere(field(name), files.at('found'), plan);
      const expected = await equalizeHere(field(twin), files.at('expected'), plan);
      assert.ok(found.equals(expected));
    });
  }

  for (const [name, code] of [
    ['ycbcr.tif', 'image.unsupported_colour'],
    ['planar-tiles.tif', 'image.unsupported_layout'],
    ['no-eoi.jpg', 'image.truncated'],
  ] as const satisfies [string, ImageErrorCode][]) {
    it(`${name} is refused as ${code} before it is decoded`, async () => {
      await assert.rejects(identify(field(name)), { code, retriable: false });
    });
  }

  it('a result has no thumbnail of the picture before, but keeps the rest of EXIF', async () => {
    using files = place();
    const upload = readFileSync(field('exif-thumbnail.jpg'));
    const thumbnail = upload.subarray(0x50, 0x50 + 505);
    assert.equal(thumbnail.readUInt16BE(0), 0xffd8);
    assert.equal(thumbnail.readUInt16BE(503), 0xffd9);
    const { shape } = await decode(field('exif-thumbnail.jpg'), files.at('spool'));
    await createResult(files.at('spool'), files.at('result'), shape.channels);
    for (const format of ['jpeg', 'png', 'webp', 'tiff'] as const) {
      await encode(files.at('result'), files.at('out'), { format });
      const out = readFileSync(files.at('out'));
      assert.ok(!out.includes(thumbnail.subarray(100, 200)), format);
      assert.equal((await sharp(files.at('out')).metadata()).orientation, 6, format);
    }
  });
});

describe('what a header shows', () => {
  it('a file without its end is refused in every format before it is decoded', async () => {
    using files = place();
    const image = () => imageOf(rgb, noise(rgb));
    const wholes = [
      await image().jpeg().toBuffer(),
      await image().jpeg({ progressive: true }).toBuffer(),
      await image().png().toBuffer(),
      await image().webp({ lossless: true }).toBuffer(),
      await image().tiff({ compression: 'none' }).toBuffer(),
    ];
    for (const whole of wholes) {
      for (const bytes of [0.03, 0.5, 0.97].map((share) => Math.floor(whole.length * share))) {
        writeFileSync(files.at('in'), whole.subarray(0, bytes));
        await assert.rejects(identify(files.at('in')), { code: 'image.truncated' });
      }
    }
  });

  it('an image that is followed by other data is accepted', async () => {
    using files = place();
    const image = () => imageOf(rgb, noise(rgb));
    for (const whole of [
      await image().jpeg().toBuffer(),
      await image().jpeg({ progressive: true }).toBuffer(),
      readFileSync(field('exif-thumbnail.jpg')),
      await image().png().toBuffer(),
      await image().webp().toBuffer(),
    ]) {
      writeFileSync(files.at('in'), Buffer.concat([whole, Buffer.from('data of a camera, \xff', 'latin1')]));
      await decode(files.at('in'), files.at('spool'));
    }
  });

  it('a JPEG that libjpeg cannot decode is refused by its frame header', async () => {
    using files = place();
    const whole = await imageOf(rgb, noise(rgb)).jpeg().toBuffer();
    const frame = whole.indexOf(Buffer.from([0xff, 0xc0]));
    for (const [at, byte, code] of [
      [frame + 1, 0xc3, 'image.unsupported_layout'],
      [frame + 4, 12, 'image.unsupported_depth'],
    ] as const) {
      const changed = Buffer.from(whole);
      changed[at] = byte;
      writeFileSync(files.at('in'), changed);
      await assert.rejects(identify(files.at('in')), { code });
    }
  });

  it('the preview of a camera raw is not taken for its picture', async () => {
    using files = place();
    for (const fields of [{ 254: 1 }, { 254: 4 }, { 255: 2 }, { 50_706: 1 }]) {
      writeFileSync(files.at('in'), tiffOf(rgb, noise(rgb), { fields }));
      await assert.rejects(identify(files.at('in')), { code: 'image.unsupported_layout' });
    }
    const { width, height } = rgb;
    const entries = Object.entries({ 256: width, 257: height, 258: 8, 259: 6, 262: 6, 273: 16, 279: 9 });
    const fields = entries.map(([id, value]) => ({ id: Number(id), numbers: [value] }));
    const mark = Buffer.from('II*\0\x10\0\0\0CR\x02\0\0\0\0\0', 'latin1');
    writeFileSync(
      files.at('in'),
      Buffer.concat([mark, directoryOf(fields, 16, { big: false, bigEndian: false })]),
    );
    await assert.rejects(identify(files.at('in')), { code: 'image.unsupported_layout' });
  });

  it('a TIFF whose strips or tiles are JPEG or WebP has the colours that were written', async () => {
    using files = place();
    const samples = dimPhotograph(rgb);
    for (const compression of ['jpeg', 'webp'] as const) {
      for (const tile of [false, true]) {
        await imageOf(rgb, samples).tiff({ compression, quality: 100, tile }).toFile(files.at('in'));
        const { shape } = await decode(files.at('in'), files.at('spool'));
        assert.deepEqual(shape, rgb);
        const most = largestDifference(spoolPixels(files.at('spool'), rgb), samples);
        assert.ok(most < 16, `${compression}: ${most}`);
      }
    }
  });
});
