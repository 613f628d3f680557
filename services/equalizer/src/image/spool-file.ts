/**
 * The spool: the pixels of an image, bare, in a file, from byte 64 on. Around them lies a TIFF: its header before, its directory after, so
 * that libvips reads a spool segment by segment, and so does any other program. Decoded ones are strips, row after row, nothing between them.
 */
import type { FileHandle } from 'node:fs/promises';
import { imageFault } from './faults.ts';
import { dataBytes, pixelBytes, type Segmentation, type SpoolShape } from './layout.ts';
import { directoryBytes, headerBytes, segmentedBytes } from './tiff-directory.ts';
import { exactly, readDirectory, tag, type TiffDirectory } from './tiff.ts';

/** Where the pixels begin. */
export const spoolDataOffset = 64;

/** What an image carries besides its pixels. */
export interface SpoolMetadata {
  orientation: number;
  /** Pixels per inch; undefined if the image does not say. */
  density?: number;
  icc?: Buffer;
  xmp?: Buffer;
  iptc?: Buffer;
  photoshop?: Buffer;
  /** The TIFF block without its "Exif\0\0" prefix; outside the TIFF directory, see {@link writeSpoolFrame}. */
  exif?: Buffer;
}

const mark = 'MESHSPL1';
const stripBytes = 256 * 1024;

/** What is written around the pixels, where it is not the usual. */
export interface FrameOptions {
  /** How the pixels are cut; into strips of 256 KiB if absent. */
  cut?: Segmentation;
  /** The file is to be somebody's image as it is: without our mark and without EXIF. */
  image?: { big: boolean };
}

/**
 * Writes what lies around the pixels; the pixels themselves are left as they are (zeros in a new file).
 * EXIF lies behind the directory, and bytes 16 to 40 say where: libvips reads no EXIF from a TIFF.
 */
export async function writeSpoolFrame(
  file: FileHandle,
  shape: SpoolShape,
  metadata: SpoolMetadata,
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

/** Whether a file is a spool by its mark: not an image of somebody's. */
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

/** @throws MeshError `image.spool_damaged` */
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
    throw imageFault('image.spool_damaged', 'no spool by its directory');
  }
  if (size < spoolDataOffset + dataBytes(shape))
    throw imageFault('image.spool_damaged', 'the spool is too short');
  return shape;
}

/** @throws MeshError `image.spool_damaged` */
export async function readSpoolMetadata(file: FileHandle): Promise<SpoolMetadata> {
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
    throw imageFault('image.spool_damaged', 'the spool has no header', error);
  });
  if (header.toString('latin1', 16, 24) !== mark)
    throw imageFault('image.spool_damaged', 'no spool by its mark');
  return readDirectory(file, 0).catch((error: unknown) => {
    throw imageFault('image.spool_damaged', 'the spool has no directory', error);
  });
}
