import assert from 'node:assert/strict';
import { readFileSync, writeFileSync } from 'node:fs';
import { describe, it } from 'node:test';
import type { Sharp } from 'sharp';
import { decode } from './decode.ts';
import { encode, outputLike } from './encode.ts';
import type { ImageFormat } from './formats/formats.ts';
import { identify } from './identify.ts';
import { sharp } from './library.ts';
import { createResult } from './result.ts';
import { readSpool } from './spool/spool.ts';
import { bytesOf, imageOf, noise, place, shapes, spoolPixels } from './testing/samples.ts';

const containers: [string, 8 | 16, (image: Sharp) => Sharp][] = [
  ['png', 16, (image) => image.png()],
  ['interlaced png', 16, (image) => image.png({ progressive: true })],
  ['bare strips tiff', 16, (image) => image.tiff({ compression: 'none' })],
  ['lzw strips tiff', 16, (image) => image.tiff({ compression: 'lzw', predictor: 'horizontal' })],
  [
    'deflate tiles bigtiff',
    16,
    (image) =>
      image.tiff({ compression: 'deflate', tile: true, tileWidth: 16, tileHeight: 32, bigtiff: true }),
  ],
  ['webp', 8, (image) => image.webp({ lossless: true, exact: true })],
];

describe('pixels through files', () => {
  for (const [name, depthMax, format] of containers) {
    it(`pixels survive ${name} bit for bit, in and out`, async () => {
      using files = place();
      for (const shape of shapes.filter(({ depth }) => depth <= depthMax)) {
        const samples = noise(shape);
        await format(imageOf(shape, samples)).toFile(files.at('in'));
        const { facts, shape: found } = await decode(files.at('in'), files.at('spool'));
        if (facts.format === 'webp' && shape.channels < 3) continue; // WebP has no grey.
        assert.deepEqual(found, shape);
        assert.ok(spoolPixels(files.at('spool'), shape).equals(bytesOf(samples)), 'decoded to other pixels');
        for (const output of ['png', 'tiff', 'webp'] as ImageFormat[]) {
          if (output === 'webp' && (shape.depth === 16 || shape.channels < 3)) continue;
          await encode(files.at('spool'), files.at('out'), outputLike(facts, output));
          await decode(files.at('out'), files.at('again'));
          assert.ok(
            spoolPixels(files.at('again'), shape).equals(bytesOf(samples)),
            `${output} changed pixels`,
          );
        }
      }
      assert.deepEqual(
        files.names().filter((each) => /part|\.v$|exif/.test(each)),
        [],
      );
    });
  }

  it('a TIFF keeps its layout', async () => {
    using files = place();
    const shape = shapes[2]!;
    for (const [, , format] of containers.slice(2, 5)) {
      await format(imageOf(shape, noise(shape))).toFile(files.at('in.tif'));
      const { facts } = await decode(files.at('in.tif'), files.at('spool'));
      await encode(files.at('spool'), files.at('out.tif'), outputLike(facts));
      const again = await identify(files.at('out.tif'));
      assert.deepEqual([again.tiff, again.access], [facts.tiff, facts.access]);
    }
  });

  it('a spool is a TIFF that any program opens', async () => {
    using files = place();
    const shape = shapes[7]!;
    await imageOf(shape, noise(shape)).png().toFile(files.at('in'));
    await decode(files.at('in'), files.at('spool.tif'));
    const facts = await identify(files.at('spool.tif'));
    assert.deepEqual([facts.format, facts.width, facts.channels, facts.depth], ['tiff', 61, 4, 16]);
  });

  it('palettes and single bits become whole samples', async () => {
    using files = place();
    const shape = shapes[2]!;
    await imageOf(shape, noise(shape, 3, 2))
      .png({ palette: true, colours: 8 })
      .toFile(files.at('palette'));
    const palette = await identify(files.at('palette'));
    assert.deepEqual([palette.palette, palette.channels, palette.depth], [true, 3, 8]);
    await imageOf(shapes[0]!, noise(shapes[0]!))
      .tiff({ bitdepth: 1, compression: 'ccittfax4' })
      .toFile(files.at('bits'));
    const { facts } = await decode(files.at('bits'), files.at('spool'));
    assert.deepEqual([facts.channels, facts.depth], [1, 8]);
    assert.ok(spoolPixels(files.at('spool'), shapes[0]!).every((sample) => sample === 0 || sample === 255));
  });

  it('the first page of a TIFF is taken unless another one is requested', async () => {
    using files = place();
    const samples = noise({ width: 5, height: 12, channels: 3, depth: 8 });
    await sharp(samples, { raw: { width: 5, height: 12, channels: 3, pageHeight: 4 } })
      .tiff({ compression: 'none' })
      .toFile(files.at('in'));
    const shape = { width: 5, height: 4, channels: 3, depth: 8 } as const;
    for (const page of [undefined, 0, 2]) {
      const { facts } = await decode(files.at('in'), files.at('spool'), page === undefined ? {} : { page });
      assert.deepEqual([facts.pages, facts.page, facts.height], [3, page ?? 0, 4]);
      const from = (page ?? 0) * 60;
      assert.ok(spoolPixels(files.at('spool'), shape).equals(bytesOf(samples).subarray(from, from + 60)));
    }
    await assert.rejects(identify(files.at('in'), { page: 3 }), { code: 'image.no_such_page' });
  });
});

describe('frames of a WebP', () => {
  it('of a WebP animation the first frame is taken', async () => {
    using files = place();
    const samples = noise({ width: 6, height: 8, channels: 4, depth: 8 });
    await sharp(samples, { raw: { width: 6, height: 8, channels: 4, pageHeight: 4 } })
      .webp({ lossless: true, exact: true })
      .toFile(files.at('in'));
    const { facts, shape } = await decode(files.at('in'), files.at('spool'));
    assert.deepEqual([facts.height, facts.pages, facts.access], [4, 1, 'whole']);
    assert.ok(spoolPixels(files.at('spool'), shape).equals(bytesOf(samples).subarray(0, 96)));
    await assert.rejects(identify(files.at('in'), { page: 1 }), { code: 'image.no_such_page' });
  });
});

describe('what an image carries besides pixels', () => {
  const exifOf = async (file: string) => {
    const { exif } = await sharp(file).metadata();
    return exif?.subarray(exif.toString('latin1', 0, 4) === 'Exif' ? 6 : 0);
  };
  const xmp = '<?xpacket begin="" id=""?><x:xmpmeta xmlns:x="adobe:ns:meta/"/><?xpacket end="w"?>';

  it('orientation, profile, XMP and EXIF survive, EXIF byte for byte', async () => {
    using files = place();
    const shape = shapes[2]!;
    const dressed = () =>
      imageOf(shape, noise(shape))
        .withIccProfile('p3')
        .withXmp(xmp)
        .withMetadata({ orientation: 6, density: 300 })
        .withExifMerge({ IFD0: { Copyright: 'somebody' }, IFD2: { ExposureTime: '1/60' } });
    await dressed().jpeg().toFile(files.at('jpeg'));
    await dressed().png().toFile(files.at('png'));
    await dressed().webp().toFile(files.at('webp'));
    await dressed()
      .tiff({ xres: 300 / 25.4, yres: 300 / 25.4, resolutionUnit: 'inch' })
      .toFile(files.at('tiff'));
    for (const from of ['jpeg', 'png', 'webp', 'tiff'] as const) {
      const { facts } = await decode(files.at(from), files.at('spool'));
      const before = await sharp(files.at(from)).metadata();
      assert.equal(facts.orientation, 6);
      for (const to of ['jpeg', 'png', 'webp', 'tiff'] as const) {
        await encode(files.at('spool'), files.at('out'), outputLike(facts, to));
        const after = await sharp(files.at('out')).metadata();
        assert.equal(after.orientation, 6, `${from} to ${to}: orientation`);
        assert.deepEqual(after.icc, before.icc, `${from} to ${to}: profile`);
        assert.deepEqual(after.xmp, before.xmp, `${from} to ${to}: XMP`);
        if (from !== 'webp' && to !== 'webp') assert.equal(after.density, 300, `${from} to ${to}: density`);
        if (from === 'tiff' || to === 'tiff') continue;
        assert.deepEqual(
          await exifOf(files.at('out')),
          await exifOf(files.at(from)),
          `${from} to ${to}: EXIF`,
        );
      }
    }
  });

  it('inserting EXIF into a file keeps its pixels', async () => {
    using files = place();
    const shape = shapes[3]!;
    const samples = noise(shape);
    for (const format of ['png', 'webp'] as const) {
      await imageOf(shape, samples)
        .withExif({ IFD0: { Copyright: 'me' } })
        [format]({ lossless: true, exact: true })
        .toFile(files.at('in'));
      const { facts } = await decode(files.at('in'), files.at('spool'));
      assert.equal(facts.metadata.exif, true);
      await encode(files.at('spool'), files.at('out'), outputLike(facts));
      await decode(files.at('out'), files.at('again'));
      assert.ok(spoolPixels(files.at('again'), shape).equals(bytesOf(samples)));
      assert.deepEqual(await exifOf(files.at('out')), await exifOf(files.at('in')), format);
    }
  });

  it('a result that becomes grey loses its colour profile and nothing else', async () => {
    using files = place();
    const shape = shapes[2]!;
    await imageOf(shape, noise(shape)).withIccProfile('p3').withXmp(xmp).png().toFile(files.at('in'));
    await decode(files.at('in'), files.at('spool'));
    await createResult(files.at('spool'), files.at('same'), 3);
    await createResult(files.at('spool'), files.at('grey'), 1);
    assert.notEqual((await readSpool(files.at('same'))).metadata.icc, undefined);
    const grey = await readSpool(files.at('grey'));
    assert.deepEqual(
      [grey.metadata.icc, grey.metadata.xmp?.toString(), grey.shape.channels],
      [undefined, xmp, 1],
    );
  });

  it('a colour profile is not applied to the pixels', async () => {
    using files = place();
    const shape = shapes[2]!;
    const samples = noise(shape);
    await imageOf(shape, samples).png().toFile(files.at('plain.png'));
    // The profile of another image, put in as a chunk: the pixels stay what they are.
    await imageOf(shape, samples).withIccProfile('p3').png().toFile(files.at('p3.png'));
    const p3 = readFileSync(files.at('p3.png'));
    const chunkAt = p3.indexOf('iCCP') - 4;
    const chunk = p3.subarray(chunkAt, chunkAt + p3.readUInt32BE(chunkAt) + 12);
    const plain = readFileSync(files.at('plain.png'));
    writeFileSync(files.at('in.png'), Buffer.concat([plain.subarray(0, 33), chunk, plain.subarray(33)]));
    const { facts } = await decode(files.at('in.png'), files.at('spool'));
    assert.equal(facts.metadata.icc, true);
    assert.ok(spoolPixels(files.at('spool'), shape).equals(bytesOf(samples)));
  });
});
