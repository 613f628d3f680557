/**
 * The spool format: the bare pixels of an image, from byte 64 of a file on. A TIFF header precedes
 * them and a TIFF directory follows, so that libvips and any other program can read a spool segment
 * by segment. A decoded image is stored as strips, row after row, without gaps.
 */
import type { FileHandle } from 'node:fs/promises';
import { exactly } from '../bytes.ts';
import { imageError } from '../errors.ts';
import { dataBytes, pixelBytes, type Segmentation, type SpoolShape } from '../formats/layout.ts';
import { directoryBytes, headerBytes, segmentedBytes } from '../formats/tiff-directory.ts';
import type { ImageMetadata } from '../metadata.ts';
import { readDirectory, tag, type TiffDirectory } from '../formats/tiff.ts';

/** Offset of the first pixel in a spool, in bytes. */
export const spoolDataOffset = 64;

const mark = 'MESHSPL1';
const stripBytes = 256 * 1024;

/** Options that differ from those of an ordinary spool. */
export interface FrameOptions {
  /** How the pixels are cut. Default: strips of 256 KiB. */
  cut?: Segmentation;
  /** The file becomes a result image: it gets neither the mark of a spool nor EXIF. */
  image?: { big: boolean };
}

/**
 * Writes everything but the pixels, which stay as they are (zeros in a new file). EXIF follows the
 * directory, at the place that bytes 24 to 40 name, because libvips reads no EXIF from a TIFF.
 */
export async function writeSpoolFrame(
  file: FileHandle,
  shape: SpoolShape,
  metadata: ImageMetadata,
  { cut = stripsOf(shape), image }: FrameOptions = {},
): Promise<void> {
  const end = spoolDataOffset + segmentedBytes(shape, cut);
  const directoryOffset = end + ((8 - (end % 8)) % 8);
  const big = image?.big ?? true;
  const described = { shape, cut, metadata, dataOffset: spoolDataOffset, big };
  const directory = directoryBytes(described, directoryOffset);
  const exif = (image === undefined ? metadata.exif : undefined) ?? Buffer.alloc(0);
  const header = Buffer.alloc(spoolDataOffset);
  headerBytes(big, directoryOffset).copy(header);
  if (image === undefined) {
    header.write(mark, 16, 'latin1');
    header.writeBigUInt64LE(BigInt(directoryOffset + directory.length), 24);
    header.writeBigUInt64LE(BigInt(exif.length), 32);
  }
  await file.truncate(end);
  await whole(file, directory, directoryOffset);
  await whole(file, exif, directoryOffset + directory.length);
  await whole(file, header, 0);
}

function stripsOf(shape: SpoolShape): Segmentation {
  const { width, height } = shape;
  const rows = Math.floor(stripBytes / (width * pixelBytes(shape)));
  return { tiled: false, width, height: Math.min(height, Math.max(1, rows)) };
}

/** Whether a file has the mark of a spool. */
export async function isSpool(file: FileHandle): Promise<boolean> {
  const header = Buffer.alloc(spoolDataOffset);
  await file.read(header, 0, spoolDataOffset, 0);
  return header.toString('latin1', 16, 24) === mark;
}

async function whole(file: FileHandle, bytes: Buffer, position: number): Promise<void> {
  let done = 0;
  while (done < bytes.length) {
    const { bytesWritten } = await file.write(bytes, done, bytes.length - done, position + done);
    done += bytesWritten;
  }
}

/** Reads the shape of a spool. @throws MeshError `image.spool_damaged` */
export async function readSpoolShape(file: FileHandle): Promise<SpoolShape> {
  const directory = await spoolDirectory(file);
  const number = async (id: number) => (await directory.number(id)) ?? 0;
  const shape = {
    width: await number(tag.width),
    height: await number(tag.height),
    channels: (await number(tag.samplesPerPixel)) as SpoolShape['channels'],
    depth: (await number(tag.bitsPerSample)) as SpoolShape['depth'],
  };
  const { size } = await file.stat();
  if (![1, 2, 3, 4].includes(shape.channels) || ![8, 16].includes(shape.depth)) {
    throw imageError('image.spool_damaged', 'the directory is not that of a spool');
  }
  if (size < spoolDataOffset + dataBytes(shape))
    throw imageError('image.spool_damaged', 'the spool is too short');
  return shape;
}

/** Reads the metadata of a spool. @throws MeshError `image.spool_damaged` */
export async function readSpoolMetadata(file: FileHandle): Promise<ImageMetadata> {
  const directory = await spoolDirectory(file);
  const header = await exactly(file, 0, spoolDataOffset);
  const exifBytes = Number(header.readBigUInt64LE(32));
  const blocks = {
    icc: await directory.bytes(tag.icc),
    xmp: await directory.bytes(tag.xmp),
    iptc: await directory.bytes(tag.iptc),
    photoshop: await directory.bytes(tag.photoshop),
    exif: exifBytes === 0 ? undefined : await exactly(file, Number(header.readBigUInt64LE(24)), exifBytes),
  };
  const resolution = await directory.bytes(tag.xResolution);
  return {
    orientation: (await directory.number(tag.orientation)) ?? 1,
    ...(resolution === undefined ? {} : { density: resolution.readUInt32LE(0) / resolution.readUInt32LE(4) }),
    ...Object.fromEntries(Object.entries(blocks).filter(([, block]) => block !== undefined)),
  };
}

async function spoolDirectory(file: FileHandle): Promise<TiffDirectory> {
  const header = await exactly(file, 0, spoolDataOffset).catch((error: unknown) => {
    throw imageError('image.spool_damaged', 'the spool has no header', { cause: error });
  });
  if (header.toString('latin1', 16, 24) !== mark)
    throw imageError('image.spool_damaged', 'the file has no mark of a spool');
  return readDirectory(file, 0).catch((error: unknown) => {
    throw imageError('image.spool_damaged', 'the spool has no directory', { cause: error });
  });
}
