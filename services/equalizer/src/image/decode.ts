/**
 * Decodes an image file into a spool, once. Without a spool, each chunk of a PNG or JPEG would have
 * to be decoded from the top of the image.
 *
 * libvips writes its own `.v` format row by row while it decodes: a header of 64 bytes, then bare
 * pixels. That holds a few rows in memory; streams and buffers of sharp would hold the whole image.
 * The header is then overwritten with that of a BigTIFF (`spool/spool-file.ts`).
 */
import { open, rename, rm } from 'node:fs/promises';
import { imageError } from './errors.ts';
import { identifyFile, type IdentifyOptions, type ImageFacts } from './identify.ts';
import { imageFileErrorOf } from './truncation.ts';
import { imageErrorOf, sharp } from './library.ts';
import { imageLimitsDefault } from './limits.ts';
import { dataBytes, type SpoolShape } from './formats/layout.ts';
import { metadataOf } from './metadata.ts';
import { spoolDataOffset, writeSpoolFrame } from './spool/spool-file.ts';
import { exactly } from './bytes.ts';
import { checkJpegTiles } from './formats/jpeg-tiles.ts';
import { compressions } from './formats/tiff-support.ts';

/** The facts of a decoded image, and the shape of its spool. */
export interface Decoded {
  facts: ImageFacts;
  shape: SpoolShape;
}

const vipsMagic = 0x08f2a6b6;

/**
 * Decodes a page into a spool, which appears whole under its name or not at all.
 * @param file see `identify`
 * @throws MeshError see `identify`; also for truncation and damage anywhere in the file
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
    await decodeAside(file, aside, facts, (options.limits ?? imageLimitsDefault).pixelsMax);
    await checkDecoded(aside, shape);
    const handle = await open(aside, 'r+');
    try {
      await writeSpoolFrame(handle, shape, metadataOf(header));
    } finally {
      await handle.close();
    }
    await rename(aside, spool);
  } catch (error) {
    throw await imageFileErrorOf(error, file);
  } finally {
    await rm(aside, { force: true });
  }
  return { facts, shape };
}

/**
 * Warnings behind which pixels are missing or guessed: the libraries for JPEG, fax and PackBits
 * fill them up and go on.
 */
const damaging =
  /corrupt|improper|premature|mismatch|discarding|lack of data|without eol|not enough|bad code/i;

/**
 * A JPEG or TIFF is decoded so that any warning is an error. If there was one, it is decoded again
 * to see the warnings, because most of them concern only metadata.
 */
async function decodeAside(file: string, aside: string, facts: ImageFacts, pixelsMax: number): Promise<void> {
  const run = async (failOn: 'warning' | 'error'): Promise<string[]> => {
    const warnings: string[] = [];
    const input = { page: facts.page, pages: 1, sequentialRead: true, ignoreIcc: true };
    const image = sharp(file, { ...input, failOn, limitInputPixels: pixelsMax });
    image.on('warning', (warning: string) => warnings.push(warning));
    await image.toColourspace(colourSpaceOf(facts)).toFile(aside);
    return warnings;
  };
  if (facts.tiff?.tile !== undefined && facts.tiff.compression === compressions.jpeg) {
    const handle = await open(file, 'r');
    await checkJpegTiles(handle, facts.page).finally(async () => handle.close());
  }
  if (facts.format !== 'jpeg' && facts.format !== 'tiff') {
    await run('error');
    return;
  }
  try {
    await run('warning');
  } catch (error) {
    const warnings = await run('error');
    // The threads of a process share the list of warnings, so another image may have taken them.
    if (warnings.length === 0) throw error;
    const damage = warnings.find((warning) => damaging.test(warning));
    if (damage !== undefined) throw imageErrorOf(new Error(damage));
  }
}

/**
 * The colour space in which libvips already holds such pixels. Naming it prevents sharp from
 * converting them to sRGB at 8 bit.
 */
export function colourSpaceOf(shape: SpoolShape): string {
  if (shape.channels >= 3) return shape.depth === 8 ? 'srgb' : 'rgb16';
  return shape.depth === 8 ? 'b-w' : 'grey16';
}

/**
 * Checks that a `.v` file has the expected shape. Its header holds magic, width, height, bands, and
 * the sample type at byte 20 (0 is 8 bit, 2 is 16 bit).
 * @throws MeshError `image.damaged` if it has another shape
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
      throw imageError('image.damaged', `decoded to ${is} instead of ${shouldBe}`);
    }
  } finally {
    await handle.close();
  }
}
