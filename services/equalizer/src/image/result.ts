/** The file that the chunks of a job are written into: a spool, or at once the image that is asked for. */
import { metadataOf } from './decode.ts';
import { classicTiffBytesMax, type OutputOptions } from './encode.ts';
import { identifyFile } from './identify.ts';
import { dataBytes, type SpoolShape } from './layout.ts';
import { createSpool, openPixels, readSpool } from './spool.ts';
import type { SpoolMetadata } from './spool-file.ts';

/**
 * Makes the empty file that the result of another goes into: the same size, depth, metadata, and cut into the same segments. The ICC profile
 * is left out if colour becomes grey, for which an RGB profile has no meaning.
 * @param source a spool, or, if `wanted` is there, an image whose pixels lie bare
 * @param wanted what is to be made of that image. If it is laid out like it, the file is that image as soon as all chunks are written; else
 *   it is a spool, to be encoded
 * @throws MeshError `image.spool_damaged`, and what `identify` throws
 */
export async function createResult(
  source: string,
  result: string,
  channels: SpoolShape['channels'],
  wanted?: OutputOptions,
): Promise<SpoolShape> {
  const { shape, metadata } = await (wanted === undefined ? readSpool(source) : readImage(source));
  const { icc, ...rest } = metadata;
  const turnsGrey = shape.channels >= 3 && channels < 3;
  const kept = turnsGrey || icc === undefined ? rest : metadata;
  const resultShape = { ...shape, channels };
  const { handle, layout } = await openPixels(source, shape, 'r');
  await handle.close();
  const { tiled, width, height } = layout;
  const like = wanted?.format === 'tiff' ? wanted.tiff : undefined;
  const big = like?.big === true || dataBytes(resultShape) > classicTiffBytesMax;
  const cut = { tiled, width, height };
  await createSpool(result, resultShape, kept, { cut, ...(like?.bare === true ? { image: { big } } : {}) });
  return resultShape;
}

async function readImage(file: string): Promise<{ shape: SpoolShape; metadata: SpoolMetadata }> {
  const { facts, header } = await identifyFile(file);
  const { width, height, channels, depth } = facts;
  return { shape: { width, height, channels, depth }, metadata: metadataOf(header) };
}
