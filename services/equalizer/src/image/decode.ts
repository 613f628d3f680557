/**
 * From an image file to a spool, once: `extract` would decode a PNG or JPEG from its top for each chunk.
 *
 * libvips writes its own `.v` format row by row as it decodes: 64 bytes of header, then bare pixels. sharp's streams and buffers would hold
 * the whole image; this holds some rows. The 64 bytes are then written over with a BigTIFF header (`spool-file.ts`).
 */
import { open, rename, rm } from 'node:fs/promises';
import { imageFault } from './faults.ts';
import { identifyFile, type Identified, type IdentifyOptions, type ImageFacts } from './identify.ts';
import { nameFileFault } from './ending.ts';
import { sharp } from './library.ts';
import { imageLimitsDefault } from './limits.ts';
import { dataBytes, type SpoolShape } from './layout.ts';
import { spoolDataOffset, writeSpoolFrame, type SpoolMetadata } from './spool-file.ts';
import { exactly } from './tiff.ts';

/** What was decoded. */
export interface Decoded {
  facts: ImageFacts;
  shape: SpoolShape;
}

const vipsMagic = 0x08f2a6b6;

/**
 * Decodes a page into a spool. The spool appears whole under its name, or not at all.
 * @param file as for `identify`
 * @throws MeshError as `identify`, with truncation and damage anywhere in the file
 */
export async function decode(file: string, spool: string, options: IdentifyOptions = {}): Promise<Decoded> {
  const { facts, header } = await identifyFile(file, options);
  const shape: SpoolShape = {
    width: facts.width,
    height: facts.height,
    channels: facts.channels,
    depth: facts.depth,
  };
  const aside = `${spool}.${crypto.randomUUID()}.v`;
  try {
    await sharp(file, {
      page: facts.page,
      pages: 1,
      sequentialRead: true,
      failOn: 'error',
      ignoreIcc: true,
      limitInputPixels: (options.limits ?? imageLimitsDefault).pixelsMax,
    })
      .toColourspace(colourSpaceOf(shape))
      .toFile(aside);
    await checkDecoded(aside, shape);
    const handle = await open(aside, 'r+');
    try {
      await writeSpoolFrame(handle, shape, metadataOf(header));
    } finally {
      await handle.close();
    }
    await rename(aside, spool);
  } catch (error) {
    throw await nameFileFault(error, file);
  } finally {
    await rm(aside, { force: true });
  }
  return { facts, shape };
}

/** The colour space that libvips is already in: naming it keeps sharp from converting to sRGB at 8 bit. */
export function colourSpaceOf(shape: SpoolShape): string {
  if (shape.channels >= 3) return shape.depth === 8 ? 'srgb' : 'rgb16';
  return shape.depth === 8 ? 'b-w' : 'grey16';
}

/**
 * Whether a `.v` file is what was asked for. Its header: magic, width, height, bands, then the sample type at byte 20 (0 is 8 bit, 2 is
 * 16 bit).
 * @throws MeshError `image.damaged`
 */
export async function checkDecoded(file: string, shape: SpoolShape): Promise<void> {
  const handle = await open(file, 'r');
  try {
    const header = await exactly(handle, 0, spoolDataOffset);
    const { size } = await handle.stat();
    const found = [0, 4, 8, 12, 20].map((at) => header.readUInt32LE(at));
    const expected = [vipsMagic, shape.width, shape.height, shape.channels, shape.depth === 8 ? 0 : 2];
    if (found.some((word, at) => word !== expected[at]) || size < spoolDataOffset + dataBytes(shape)) {
      const [is, shouldBe] = [found, expected].map((words) => words.slice(1).join(', '));
      throw imageFault('image.damaged', `decoded to ${is} instead of ${shouldBe}`);
    }
  } finally {
    await handle.close();
  }
}

/** What is kept of an image's header. */
export function metadataOf(header: Identified['header']): SpoolMetadata {
  const prefix = Buffer.from('Exif\0\0', 'latin1');
  const exif = header.exif;
  const block = exif?.subarray(0, 6).equals(prefix) === true ? exif.subarray(6) : exif;
  return {
    orientation: header.orientation ?? 1,
    ...(header.density === undefined ? {} : { density: header.density }),
    ...(header.icc === undefined ? {} : { icc: header.icc }),
    ...(header.xmp === undefined ? {} : { xmp: header.xmp }),
    ...(header.iptc === undefined ? {} : { iptc: header.iptc }),
    ...(header.tifftagPhotoshop === undefined ? {} : { photoshop: header.tifftagPhotoshop }),
    ...(block === undefined ? {} : { exif: block }),
  };
}
