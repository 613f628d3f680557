/**
 * Contrast-limited adaptive equalization: each pixel by the histogram of its neighbourhood (libvips, `hist_local`). An extra outside the
 * exactness claim: it is done in one piece, not by chunks, and its values are those of the libvips that is installed.
 */
import { rm } from 'node:fs/promises';
import { applyLumas, lumaOf } from '@thermomesh/equalization';
import { checkDecoded } from './decode.ts';
import { imageFault } from './faults.ts';
import { nameFault, sharp } from './library.ts';
import { closeSync, openSync } from 'node:fs';
import { readBytes, writeBytes } from './bytes.ts';
import { createResult } from './result.ts';
import { createSpool, readSpool } from './spool.ts';
import { spoolDataOffset } from './spool-file.ts';
import type { SpoolShape } from './layout.ts';

export interface ClaheOptions {
  /** Of the square neighbourhood, in pixels. */
  side?: number;
  /** How steep the table may get, 1 to 100: it limits the contrast of even areas, which is noise. */
  maxSlope?: number;
}

export const claheSideDefault = 128;
export const claheMaxSlopeDefault = 3;
const blockPixelsMax = 256 * 1024;

/**
 * Equalizes a spool locally: luma moves, colour and alpha stay. It takes about a microsecond a pixel, hence a limit of its own.
 * @returns the shape of the result
 * @throws MeshError `image.unsupported_depth`: libvips has it for 8 bit alone; `image.pixels_limit`, `image.spool_damaged`, `image.io`
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
    throw imageFault('image.pixels_limit', `${pixels} pixels, at most ${pixelsMax} are equalized locally`);
  }
  if (shape.depth !== 8) throw imageFault('image.unsupported_depth', 'local equalization is for 8 bit alone');
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
    throw nameFault(error);
  } finally {
    await Promise.all([lumas, moved].map(async (file) => rm(file, { force: true })));
  }
}

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

/** `moved` is libvips' own format: its pixels begin where a spool's do. */
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

function opened(file: string, flags: 'r' | 'r+') {
  const fd = openSync(file, flags);
  return {
    fd,
    [Symbol.dispose]: () => {
      closeSync(fd);
    },
  };
}

/** The blocks of an image of decoded rows, with room for their samples (8 bit) and for one value a pixel. */
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
