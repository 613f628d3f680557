/** Files that other programs write, or that damage has changed, and that few readers read alike. */
import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { open } from 'node:fs/promises';
import { describe, it } from 'node:test';
import { deflateSync } from 'node:zlib';
import { decode } from './decode.ts';
import { encode } from './encode.ts';
import type { ImageErrorCode } from './errors.ts';
import { readDirectory, tag } from './formats/tiff.ts';
import { identify } from './identify.ts';
import { sharp } from './library.ts';
import { createResult } from './result.ts';
import { bytesOf, imageOf, noise, place, shapes, spoolPixels, type Place } from './testing/samples.ts';
import { directoryOf, header, type Entry } from './testing/tiffs.ts';

const rgb = shapes[2]!;
const { width, height } = rgb;
const samples = noise(rgb);
const rowBytes = width * 3;
const little = { big: false, bigEndian: false };

/** A TIFF in strips of 8 rows, with other values of some fields. */
function stripsOf(changed: Record<number, number[]>, compress = (strip: Buffer) => strip): Buffer {
  const bytes = bytesOf(samples);
  const strips: Buffer[] = [];
  for (let at = 0; at < bytes.length; at += 8 * rowBytes)
    strips.push(compress(bytes.subarray(at, at + 8 * rowBytes)));
  const offsets = strips.map((_, at) => strips.slice(0, at).reduce((sum, each) => sum + each.length, 16));
  const values: Record<number, number[]> = {
    256: [width],
    257: [height],
    258: [8, 8, 8],
    259: [compress(Buffer.alloc(1)).length === 1 ? 1 : 8],
    262: [2],
    273: offsets,
    277: [3],
    278: [8],
    279: strips.map(({ length }) => length),
    ...changed,
  };
  const fields: Entry[] = Object.entries(values).map(([id, numbers]) => ({ id: Number(id), numbers }));
  const body = Buffer.concat(strips);
  const at = 16 + body.length;
  return Buffer.concat([header(at, little), body, directoryOf(fields, at, little)]);
}

async function refusedAtUpload(files: Place, bytes: Buffer, code: ImageErrorCode): Promise<void> {
  writeFileSync(files.at('in'), bytes);
  await assert.rejects(identify(files.at('in')), { code, retriable: false });
}

async function decoded(files: Place, bytes: Buffer): Promise<Buffer> {
  writeFileSync(files.at('in'), bytes);
  const { shape } = await decode(files.at('in'), files.at('spool'));
  return spoolPixels(files.at('spool'), shape);
}

describe('what the directory of a TIFF shows', () => {
  it('a TIFF whose strips are not all there is refused by its header', async () => {
    using files = place();
    const whole = stripsOf({});
    assert.ok((await decoded(files, whole)).equals(bytesOf(samples)));
    const sizes = [8, 8, 8, 8, 8, 7].map((rows) => rows * rowBytes);
    const last = sizes.slice(0, -1);
    const behind = [...[0, 1, 2, 3, 4].map((at) => 16 + at * 8 * rowBytes), whole.length - 99];
    for (const [changed, code] of [
      [{ 279: [...last, 0] }, 'image.damaged'],
      [{ 279: last }, 'image.damaged'],
      [{ 279: [...last, 50] }, 'image.damaged'],
      [{ 273: behind }, 'image.truncated'],
    ] as [Record<number, number[]>, ImageErrorCode][])
      await refusedAtUpload(files, stripsOf(changed), code);
    const deflated = (counts?: number[]) => stripsOf(counts ? { 279: counts } : {}, deflateSync);
    assert.ok((await decoded(files, deflated())).equals(bytesOf(samples)));
    await refusedAtUpload(files, deflated(sizes.map(() => 0)), 'image.damaged');
    await refusedAtUpload(files, deflated(sizes.map(() => 1e6)), 'image.truncated');
  });

  it('a TIFF whose tiles have no data is not read as black', async () => {
    using files = place();
    const tile = { tile: true, tileWidth: 32, tileHeight: 32 } as const;
    const whole = await imageOf(rgb, samples)
      .tiff({ compression: 'none', ...tile })
      .toBuffer();
    assert.ok((await decoded(files, whole)).equals(bytesOf(samples)));
    const changed = Buffer.from(whole);
    changed.fill(0, ...(await placeOfField(files, tag.tileByteCounts)));
    await refusedAtUpload(files, changed, 'image.damaged');
  });

  it('a palette without its colours and an unknown orientation are refused', async () => {
    using files = place();
    const grey = { 258: [8], 262: [3], 277: [1], 279: [8, 8, 8, 8, 8, 7].map((rows) => rows * width) };
    await refusedAtUpload(files, stripsOf(grey), 'image.damaged');
    await refusedAtUpload(files, stripsOf({ ...grey, 320: [1, 2, 3] }), 'image.damaged');
    for (const orientation of [0, 9])
      await refusedAtUpload(files, stripsOf({ 274: [orientation] }), 'image.damaged');
  });

  it('the preview above a larger picture is refused, and a pyramid is read', async () => {
    using files = place();
    const start = stripsOf({});
    const below = (sides: number) =>
      directoryOf(
        [
          { id: 256, numbers: [sides] },
          { id: 257, numbers: [sides] },
        ],
        0,
        little,
      );
    const withBelow = (sides: number) => {
      // A field of one value is written inside its directory, so its length is known.
      const at = stripsOf({ 330: [0] }).length;
      assert.ok(at > start.length);
      return Buffer.concat([stripsOf({ 330: [at] }), below(sides)]);
    };
    await refusedAtUpload(files, withBelow(3_000), 'image.unsupported_layout');
    assert.ok((await decoded(files, withBelow(30))).equals(bytesOf(samples)));
  });
});

/** The first and the last byte of the values of a field of the file `in`. */
async function placeOfField(files: Place, id: number): Promise<[number, number]> {
  const handle = await open(files.at('in'), 'r');
  try {
    const field = (await readDirectory(handle, 0)).fields.get(id)!;
    return [field.offset, field.offset + field.bytes];
  } finally {
    await handle.close();
  }
}

describe('what the header of a PNG shows', () => {
  it('a PNG whose header has a wrong sum is refused before it is decoded', async () => {
    using files = place();
    const palette = await imageOf(rgb, samples).png({ palette: true }).toBuffer();
    for (const name of ['IHDR', 'PLTE']) {
      const changed = Buffer.from(palette);
      changed[changed.indexOf(name) - 4 + 8 + changed.readUInt32BE(changed.indexOf(name) - 4)]! ^= 1;
      await refusedAtUpload(files, changed, 'image.damaged');
    }
  });
});

describe('pixels that a library would make up', () => {
  it('a JPEG whose data ends before its pixels fails, though it has an end', async () => {
    using files = place();
    for (const progressive of [false, true]) {
      const whole = await imageOf(rgb, samples).jpeg({ progressive, quality: 90 }).toBuffer();
      await decoded(files, whole);
      const cut = Buffer.concat([whole.subarray(0, whole.length / 2), Buffer.from([0xff, 0xd9])]);
      await assert.rejects(decoded(files, cut), { code: 'image.truncated' });
    }
  });

  it('a TIFF of JPEG or fax strips fails if their data ends before their pixels', async () => {
    using files = place();
    const bilevel = { ...rgb, channels: 1 } as const;
    for (const [image, compression] of [
      [imageOf(rgb, samples), 'jpeg'],
      [imageOf(bilevel, noise(bilevel)), 'ccittfax4'],
    ] as const) {
      const depth = compression === 'jpeg' ? {} : { bitdepth: 1 as const };
      const whole = await image.tiff({ compression, ...depth }).toBuffer();
      await decoded(files, whole);
      const [from, to] = await placeOfField(files, tag.stripByteCounts);
      const changed = Buffer.from(whole);
      const bytes = to - from > 4 ? 4 : to - from;
      changed.writeUIntLE(Math.floor(whole.readUIntLE(from, bytes) / 2), from, bytes);
      await assert.rejects(decoded(files, changed), (error) =>
        /^image\.(truncated|damaged)$/.test((error as { code: string }).code),
      );
    }
  });

  it('a TIFF whose JPEG tiles are cut or too small fails instead of being grey', async () => {
    using files = place();
    const tile = { width: 64, height: 48, channels: 1, depth: 8 } as const;
    const jpeg = await imageOf(tile, noise(tile)).jpeg().toBuffer();
    const tiffWith = (data: Buffer): Buffer => {
      const sizes = { 256: [width], 257: [height], 322: [64], 323: [48], 324: [16], 325: [data.length] };
      const values = { ...sizes, 258: [8], 259: [7], 262: [1], 277: [1] };
      const fields = Object.entries(values).map(([id, numbers]) => ({ id: Number(id), numbers }));
      const at = 16 + data.length;
      return Buffer.concat([header(at, little), data, directoryOf(fields, at, little)]);
    };
    await decoded(files, tiffWith(jpeg));
    const cut = tiffWith(jpeg.subarray(0, jpeg.length / 2));
    await assert.rejects(decoded(files, cut), { code: 'image.truncated' });
    const less = { ...tile, width: 32, height: 32 };
    const small = tiffWith(await imageOf(less, noise(less)).jpeg().toBuffer());
    await assert.rejects(decoded(files, small), { code: 'image.damaged' });
  });

  it('a warning about other things than pixels does not fail a JPEG', async () => {
    using files = place();
    const whole = await imageOf(rgb, samples).jpeg().toBuffer();
    const expected = await decoded(files, whole);
    const jfif = Buffer.from('ffe000104a46494600090901004800480000', 'hex');
    const revision = Buffer.concat([whole.subarray(0, 2), jfif, whole.subarray(2)]);
    const scan = whole.indexOf(Buffer.from([0xff, 0xda]));
    const spectrum = Buffer.from(whole);
    spectrum[scan + 2 + whole.readUInt16BE(scan + 2) - 2] = 0;
    for (const changed of [revision, spectrum]) {
      assert.ok(!changed.equals(whole));
      assert.ok((await decoded(files, changed)).equals(expected));
    }
  });
});

describe('metadata that cannot be kept', () => {
  it('a damaged profile and an impossible resolution never fail a result', async () => {
    using files = place();
    const whole = await imageOf(rgb, samples).withIccProfile('srgb').jpeg().toBuffer();
    const profile = whole.indexOf('ICC_PROFILE\0') + 14;
    const damaged = Buffer.from(whole);
    damaged.writeUInt32BE(0x00ffffff, profile);
    const dense = await imageOf(rgb, samples).withMetadata({ density: 50_000_000 }).png().toBuffer();
    for (const [bytes, hasProfile] of [
      [whole, true],
      [damaged, false],
      [dense, true],
    ] as const) {
      await decoded(files, bytes);
      await createResult(files.at('spool'), files.at('result'), 3);
      for (const format of ['jpeg', 'png', 'webp', 'tiff'] as const) {
        await encode(files.at('result'), files.at('out'), { format });
        assert.equal((await sharp(files.at('out')).metadata()).icc !== undefined, hasProfile, format);
      }
    }
  });
});
