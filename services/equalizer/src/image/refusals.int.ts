import assert from 'node:assert/strict';
import { readFileSync, writeFileSync } from 'node:fs';
import { open } from 'node:fs/promises';
import { describe, it } from 'node:test';
import { crc32 } from 'node:zlib';
import { decode } from './decode.ts';
import { checkEncodable, encode } from './encode.ts';
import type { ImageErrorCode } from './errors.ts';
import { identify } from './identify.ts';
import { imageLimitsDefault } from './limits.ts';
import { createSpool } from './spool/spool.ts';
import { exactly } from './bytes.ts';
import { readDirectory, tag } from './formats/tiff.ts';
import { imageOf, noise, place, shapes, type Place } from './testing/samples.ts';

const rgb = shapes[2]!;

async function refused(files: Place, name: string, code: ImageErrorCode, options = {}): Promise<void> {
  await assert.rejects(decode(files.at(name), files.at('spool'), options), (error) => {
    const {
      code: found,
      retriable,
      message,
    } = error as { code: string; retriable: boolean; message: string };
    assert.deepEqual([found, retriable], [code, false], `${name}: ${message}`);
    return true;
  });
  const left = files.names().filter((each) => each.startsWith('spool'));
  assert.deepEqual(left, [], `${name} left something behind`);
}

/** Writes other numbers over a field of 16-bit words of a spool's directory. */
async function patch(file: string, id: number, ...numbers: number[]): Promise<void> {
  const handle = await open(file, 'r+');
  try {
    const { fields } = await readDirectory(handle, 0);
    const words = Buffer.alloc(numbers.length * 2);
    numbers.forEach((number, at) => words.writeUInt16LE(number, at * 2));
    await handle.write(words, 0, words.length, fields.get(id)!.offset);
  } finally {
    await handle.close();
  }
}

describe('files that are refused', () => {
  it('a file of another format never reaches a loader', async () => {
    using files = place();
    const contents: Record<string, string | Buffer> = {
      empty: '',
      text: 'not an image, in spite of its name.png',
      svg: '<svg xmlns="http://www.w3.org/2000/svg" width="9" height="9"/>',
      gif: Buffer.from('R0lGODlhAQABAIAAAAAAAP///yH5BAEAAAAALAAAAAABAAEAAAIBRAA7', 'base64'),
      pdf: '%PDF-1.4',
      riff: Buffer.from('RIFF\x10\0\0\0WAVEfmt ', 'latin1'),
    };
    for (const [name, bytes] of Object.entries(contents)) {
      writeFileSync(files.at(name), bytes);
      await refused(files, name, 'image.not_an_image');
    }
    await imageOf(rgb, noise(rgb)).toFile(files.at('vips.v'));
    await refused(files, 'vips.v', 'image.not_an_image');
  });

  it('a file that ends early is refused as truncated in every format', async () => {
    using files = place();
    const wholes: Record<string, Buffer> = {
      jpeg: await imageOf(rgb, noise(rgb)).jpeg().toBuffer(),
      progressive: await imageOf(rgb, noise(rgb)).jpeg({ progressive: true }).toBuffer(),
      png: await imageOf(rgb, noise(rgb)).png().toBuffer(),
      interlaced: await imageOf(rgb, noise(rgb)).png({ progressive: true }).toBuffer(),
      webp: await imageOf(rgb, noise(rgb)).webp({ lossless: true }).toBuffer(),
      strips: await imageOf(rgb, noise(rgb)).tiff({ compression: 'lzw' }).toBuffer(),
      tiles: await imageOf(rgb, noise(rgb))
        .tiff({ compression: 'none', tile: true, bigtiff: true })
        .toBuffer(),
    };
    for (const [name, whole] of Object.entries(wholes)) {
      for (const share of [0.03, 0.5, 0.97]) {
        writeFileSync(files.at(name), whole.subarray(0, Math.floor(whole.length * share)));
        await refused(files, name, 'image.truncated');
      }
    }
  });

  it('a decompression bomb is refused by its header', async () => {
    using files = place();
    // 40,000 × 40,000 pixels in 60 bytes: there is nothing to decode.
    const header = Buffer.from('0000000d49484452000000000000000008020000000000000000', 'hex');
    header.writeUInt32BE(40_000, 8);
    header.writeUInt32BE(40_000, 12);
    header.writeUInt32BE(crc32(header.subarray(4, 21)), 21);
    const start = Buffer.concat([Buffer.from('89504e470d0a1a0a', 'hex'), header.subarray(0, 25)]);
    const data = Buffer.from('0000000049444154', 'hex');
    writeFileSync(files.at('bomb'), Buffer.concat([start, data, Buffer.alloc(4)]));
    await refused(files, 'bomb', 'image.pixels_limit');
  });

  it('images that must be in memory as a whole have a lower pixel limit', async () => {
    using files = place();
    const limits = { ...imageLimitsDefault, pixelsMax: rgb.width * rgb.height, wholeImagePixelsMax: 100 };
    const image = () => imageOf(rgb, noise(rgb));
    await image().jpeg({ progressive: true }).toFile(files.at('progressive'));
    await image().png({ progressive: true }).toFile(files.at('interlaced'));
    await image().webp().toFile(files.at('webp'));
    for (const name of ['progressive', 'interlaced', 'webp']) {
      await refused(files, name, 'image.pixels_limit', { limits });
    }
    await image().jpeg().toFile(files.at('baseline'));
    await image().png().toFile(files.at('rows'));
    await image().tiff({ compression: 'lzw' }).toFile(files.at('strips'));
    for (const name of ['baseline', 'rows', 'strips'])
      await decode(files.at(name), files.at('taken'), { limits });
  });

  it('a TIFF of one huge compressed strip counts as a whole image', async () => {
    using files = place();
    await createSpool(
      files.at('in'),
      { width: 8_000, height: 8_000, channels: 3, depth: 8 },
      { orientation: 1 },
    );
    assert.equal((await identify(files.at('in'))).access, 'strips');
    await patch(files.at('in'), tag.compression, 8);
    await patch(files.at('in'), tag.rowsPerStrip, 8_000);
    await refused(files, 'in', 'image.pixels_limit');
  });

  it('file size and metadata have limits of their own', async () => {
    using files = place();
    await imageOf(rgb, noise(rgb))
      .withXmp(`<x>${'y'.repeat(3_000)}</x>`)
      .png()
      .toFile(files.at('in'));
    await refused(files, 'in', 'image.bytes_limit', {
      limits: { ...imageLimitsDefault, fileBytesMax: 1_000 },
    });
    const limits = { ...imageLimitsDefault, metadataBytesMax: 1_000 };
    await refused(files, 'in', 'image.metadata_limit', { limits });
  });

  it('unsupported depths and colour spaces are refused', async () => {
    using files = place();
    await createSpool(files.at('wide'), { ...rgb, depth: 16 }, { orientation: 1 });
    await patch(files.at('wide'), tag.bitsPerSample, 32, 32, 32);
    await refused(files, 'wide', 'image.unsupported_depth');
    await imageOf(rgb, noise(rgb)).toColourspace('cmyk').jpeg().toFile(files.at('cmyk'));
    await refused(files, 'cmyk', 'image.unsupported_colour');
  });

  it('a TIFF with directories that lead nowhere or in a circle is refused', async () => {
    using files = place();
    const bytes = await imageOf(rgb, noise(rgb)).tiff({ compression: 'none' }).toBuffer();
    const directory = bytes.readUInt32LE(4);
    const entries = bytes.readUInt16LE(directory);
    const circle = Buffer.from(bytes);
    circle.writeUInt32LE(directory, directory + 2 + entries * 12);
    writeFileSync(files.at('circle'), circle);
    await assert.rejects(identify(files.at('circle'), { page: 10_000 }), { code: 'image.no_such_page' });
    const nowhere = Buffer.from(bytes);
    nowhere.writeUInt32LE(0x7ffffff0, 4);
    writeFileSync(files.at('nowhere'), nowhere);
    await refused(files, 'nowhere', 'image.truncated');
  });

  it('a damaged byte anywhere in a file never crashes the process', async () => {
    using files = place();
    const whole = await imageOf(rgb, noise(rgb, 5, 9))
      .tiff({ compression: 'deflate' })
      .toBuffer();
    const png = await imageOf(rgb, noise(rgb, 5, 9))
      .png()
      .toBuffer();
    for (const bytes of [whole, png]) {
      for (let at = 8; at < bytes.length; at += Math.ceil(bytes.length / 60)) {
        const hurt = Buffer.from(bytes);
        hurt[at] = hurt[at]! ^ 0xff;
        writeFileSync(files.at('hurt'), hurt);
        await decode(files.at('hurt'), files.at('taken')).catch((error: unknown) => {
          assert.match((error as { code: string }).code, /^image\./);
        });
      }
    }
  });
});

describe('outputs that are refused', () => {
  it('an output format that cannot hold the pixels is refused before the work', async () => {
    const huge = { width: 20_000, height: 10, channels: 3, depth: 8 } as const;
    for (const [shape, format] of [
      [shapes[6]!, 'jpeg'],
      [shapes[6]!, 'webp'],
      [shapes[3]!, 'jpeg'],
      [huge, 'webp'],
      [{ ...huge, width: 70_000 }, 'jpeg'],
    ] as const) {
      assert.throws(
        () => {
          checkEncodable(shape, format, 1e9);
        },
        { code: 'image.unencodable' },
      );
    }
    assert.throws(() => {
      checkEncodable(rgb, 'webp', 100);
    }, /written from memory/);
    using files = place();
    await createSpool(files.at('spool'), shapes[6]!, { orientation: 1 });
    await assert.rejects(encode(files.at('spool'), files.at('out'), { format: 'jpeg' }), {
      code: 'image.unencodable',
    });
    assert.deepEqual(files.names(), ['spool']);
  });

  it('a file that is not a complete spool is refused as damaged', async () => {
    using files = place();
    writeFileSync(files.at('none'), 'x'.repeat(200));
    await createSpool(files.at('whole'), rgb, { orientation: 1 });
    writeFileSync(files.at('torn'), readFileSync(files.at('whole')).subarray(0, 5_000));
    for (const name of ['none', 'torn']) {
      await assert.rejects(encode(files.at(name), files.at('out'), { format: 'png' }), {
        code: 'image.spool_damaged',
      });
    }
  });
});

describe('the reader of TIFF directories', () => {
  it('the TIFF reader never allocates the size that a huge count claims', async () => {
    using files = place();
    writeFileSync(files.at('in'), 'x');
    const handle = await open(files.at('in'), 'r');
    try {
      await assert.rejects(exactly(handle, 0, 2 ** 40), { code: 'image.damaged' });
      await assert.rejects(exactly(handle, 0, 100), { code: 'image.truncated' });
    } finally {
      await handle.close();
    }
  });
});
