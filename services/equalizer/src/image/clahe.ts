/**
 * Contrast-limited adaptive histogram equalization: each pixel is equalized by the histogram of its
 * neighbourhood (libvips, `hist_local`). It is not part of the exactness claim: it works on the
 * whole image instead of chunks, and its values depend on the installed libvips.
 */
import { rm } from 'node:fs/promises';
import { applyLumas, lumaOf } from '@thermomesh/equalization';
import { checkDecoded } from './decode.ts';
import { imageError } from './errors.ts';
import { imageErrorOf, sharp } from './library.ts';
import { closeSync, openSync } from 'node:fs';
import { readBytes, writeBytes } from './bytes.ts';
import { createResult } from './result.ts';
import { createSpool, readSpool } from './spool/spool.ts';
import { spoolDataOffset } from './spool/spool-file.ts';
import type { SpoolShape } from './formats/layout.ts';

export interface ClaheOptions {
  /** Side of the square neighbourhood, in pixels. */
  side?: number;
  /**
   * Maximum slope of the lookup table, 1 to 100. It limits the contrast of even areas, where the
   * detail is noise.
   */
  maxSlope?: number;
}

export const claheSideDefault = 128;
export const claheMaxSlopeDefault = 3;
const blockPixelsMax = 256 * 1024;

/**
 * Equalizes a spool locally: luma changes, colour and alpha stay. It takes about a microsecond per
 * pixel and therefore has a limit of its own.
 * @returns the shape of the result
 * @throws MeshError `image.unsupported_depth`: libvips supports 8 bit only;
 *   `image.pixels_limit`, `image.spool_damaged`, `image.io`
 */
export async function clahe(
  spool: string,
  result: string,
  options: ClaheOptions = {},
  pixelsMax = Number.MAX_SAFE_INTEGER,
): Promise<SpoolShape> {
  const { shape } = await readSpool(spool);
  const pixels = shape.width * shape.height;
  if (pixels > pixelsMax) {
    throw imageError('image.pixels_limit', `${pixels} pixels, at most ${pixelsMax} can be equalized locally`);
  }
  if (shape.depth !== 8)
    throw imageError('image.unsupported_depth', 'local equalization supports 8 bit only');
  const grey: SpoolShape = { ...shape, channels: 1 };
  const lumas = `${result}.${crypto.randomUUID()}.part`;
  const moved = `${lumas}.v`;
  const side = options.side ?? claheSideDefault;
  try {
    await createSpool(lumas, grey, { orientation: 1 });
    splitLumas(spool, shape, lumas);
    await sharp(lumas, { sequentialRead: true, limitInputPixels: false })
      .clahe({
        width: Math.min(side, shape.width),
        height: Math.min(side, shape.height),
        maxSlope: options.maxSlope ?? claheMaxSlopeDefault,
      })
      .toColourspace('b-w')
      .toFile(moved);
    await checkDecoded(moved, grey);
    await createResult(spool, result, shape.channels);
    joinLumas(spool, shape, moved, result);
    return shape;
  } catch (error) {
    await rm(result, { force: true });
    throw imageErrorOf(error);
  } finally {
    await Promise.all([lumas, moved].map(async (file) => rm(file, { force: true })));
  }
}

/** Writes the lumas of a spool into another one. */
function splitLumas(spool: string, shape: SpoolShape, lumas: string): void {
  using source = opened(spool, 'r');
  using target = opened(lumas, 'r+');
  for (const { at, samples, values } of blocks(shape)) {
    readBytes(source.fd, spoolDataOffset + at * shape.channels, samples);
    for (let pixel = 0, from = 0; pixel < values.length; pixel++, from += shape.channels) {
      const first = samples[from]!;
      values[pixel] = shape.channels < 3 ? first : lumaOf(first, samples[from + 1]!, samples[from + 2]!);
    }
    writeBytes(target.fd, spoolDataOffset + at, values);
  }
}

/** Combines the colours of `spool` with the lumas of `moved`, a `.v` file of libvips. */
function joinLumas(spool: string, shape: SpoolShape, moved: string, result: string): void {
  using source = opened(spool, 'r');
  using wanted = opened(moved, 'r');
  using target = opened(result, 'r+');
  const { channels } = shape;
  for (const { at, samples, values } of blocks(shape)) {
    readBytes(source.fd, spoolDataOffset + at * channels, samples);
    readBytes(wanted.fd, spoolDataOffset + at, values);
    if (channels >= 3) {
      applyLumas({ samples, width: values.length, height: 1 }, values, channels === 4 ? 4 : 3);
    } else {
      for (let pixel = 0; pixel < values.length; pixel++) samples[pixel * channels] = values[pixel]!;
    }
    writeBytes(target.fd, spoolDataOffset + at * channels, samples);
  }
}

/** Opens a file that `using` closes. */
function opened(file: string, flags: 'r' | 'r+') {
  const fd = openSync(file, flags);
  return {
    fd,
    [Symbol.dispose]: () => {
      closeSync(fd);
    },
  };
}

/**
 * The blocks of an image of decoded rows, each with buffers for its 8-bit samples and for one value
 * per pixel.
 */
function* blocks(shape: SpoolShape) {
  const all = shape.width * shape.height;
  const room = Math.min(blockPixelsMax, all);
  const samples = new Uint8Array(room * shape.channels);
  const values = new Uint8Array(room);
  for (let at = 0; at < all; at += room) {
    const pixels = Math.min(room, all - at);
    yield { at, samples: samples.subarray(0, pixels * shape.channels), values: values.subarray(0, pixels) };
  }
}
