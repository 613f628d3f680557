/**
 * The file that the chunks of a job are written into: a spool, or directly the requested image.
 */
import { metadataOf, type ImageMetadata } from './metadata.ts';
import { classicTiffBytesMax, type OutputOptions } from './encode.ts';
import { identifyFile } from './identify.ts';
import { dataBytes, type SpoolShape } from './formats/layout.ts';
import { createSpool, openPixels, readSpool } from './spool/spool.ts';

/**
 * Creates the empty result file for a source, with the same size, depth, metadata and segments. The
 * ICC profile is left out if colour becomes grey, because an RGB profile has no meaning for grey.
 * @param source a spool, or, if `wanted` is given, a bare image
 * @param wanted the options of the requested image. If its layout equals that of the source, the
 *   file is the requested image as soon as all chunks are written; otherwise it is a spool that has
 *   to be encoded
 * @throws MeshError `image.spool_damaged`, and the errors of `identify`
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

async function readImage(file: string): Promise<{ shape: SpoolShape; metadata: ImageMetadata }> {
  const { facts, header } = await identifyFile(file);
  const { width, height, channels, depth } = facts;
  return { shape: { width, height, channels, depth }, metadata: metadataOf(header) };
}
