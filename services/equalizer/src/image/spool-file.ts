/**
 * The spool: decoded pixels in a file, row after row, nothing between them, from byte 64 on. Around them lies a BigTIFF: its header before,
 * its directory after, so that libvips reads a spool strip by strip, and so does any other program.
 */
import type { FileHandle } from 'node:fs/promises';
import { imageFault } from './faults.ts';
import { exactly, readDirectory, tag, type TiffDirectory } from './tiff.ts';

/** Where the pixels begin. */
export const spoolDataOffset = 64;

/** What the pixels are. Plain data. 16-bit samples are little-endian. */
export interface SpoolShape {
  width: number;
  height: number;
  channels: 1 | 2 | 3 | 4;
  depth: 8 | 16;
}

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

/** Bytes of one pixel. */
export function pixelBytes(shape: SpoolShape): number {
  return (shape.channels * shape.depth) / 8;
}

/** Bytes of all pixels. */
export function dataBytes(shape: SpoolShape): number {
  return shape.width * shape.height * pixelBytes(shape);
}

const mark = 'MESHSPL1';
const stripBytes = 256 * 1024;

/**
 * Writes what lies around the pixels; the pixels themselves are left as they are (zeros in a new file).
 * EXIF lies behind the directory, and bytes 16 to 40 say where: libvips reads no EXIF from a TIFF.
 */
export async function writeSpoolFrame(
  file: FileHandle,
  shape: SpoolShape,
  metadata: SpoolMetadata,
): Promise<void> {
  const end = spoolDataOffset + dataBytes(shape);
  const directoryOffset = end + ((8 - (end % 8)) % 8);
  const directory = directoryBytes(shape, metadata, directoryOffset);
  const exif = metadata.exif ?? Buffer.alloc(0);
  const header = Buffer.alloc(spoolDataOffset);
  header.write('II', 0, 'latin1');
  header.writeUInt16LE(43, 2);
  header.writeUInt16LE(8, 4);
  header.writeBigUInt64LE(BigInt(directoryOffset), 8);
  header.write(mark, 16, 'latin1');
  header.writeBigUInt64LE(BigInt(directoryOffset + directory.length), 24);
  header.writeBigUInt64LE(BigInt(exif.length), 32);
  await file.truncate(end);
  await whole(file, directory, directoryOffset);
  await whole(file, exif, directoryOffset + directory.length);
  await whole(file, header, 0);
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

/** TIFF types of the fields that are written. */
const type = { short: 3, long: 4, rational: 5, bytes: 7, long8: 16 } as const;
interface Field {
  id: number;
  type: number;
  count: number;
  values: Buffer;
}

function directoryBytes(shape: SpoolShape, metadata: SpoolMetadata, offset: number): Buffer {
  const fields = fieldsOf(shape, metadata).sort((one, other) => one.id - other.id);
  const table = Buffer.alloc(8 + fields.length * 20 + 8);
  table.writeBigUInt64LE(BigInt(fields.length), 0);
  const behind: Buffer[] = [];
  let free = offset + table.length;
  fields.forEach((field, index) => {
    const at = 8 + index * 20;
    table.writeUInt16LE(field.id, at);
    table.writeUInt16LE(field.type, at + 2);
    table.writeBigUInt64LE(BigInt(field.count), at + 4);
    if (field.values.length <= 8) {
      field.values.copy(table, at + 12);
    } else {
      table.writeBigUInt64LE(BigInt(free), at + 12);
      const padded = Buffer.alloc(Math.ceil(field.values.length / 8) * 8);
      field.values.copy(padded);
      behind.push(padded);
      free += padded.length;
    }
  });
  return Buffer.concat([table, ...behind]);
}

function fieldsOf(shape: SpoolShape, metadata: SpoolMetadata): Field[] {
  const { width, height, channels, depth } = shape;
  const rowBytes = width * pixelBytes(shape);
  const rowsPerStrip = Math.min(height, Math.max(1, Math.floor(stripBytes / rowBytes)));
  const strips = Math.ceil(height / rowsPerStrip);
  const offsets = Buffer.alloc(strips * 8);
  const sizes = Buffer.alloc(strips * 8);
  for (let strip = 0; strip < strips; strip++) {
    const first = strip * rowsPerStrip;
    const rows = Math.min(rowsPerStrip, height - first);
    offsets.writeBigUInt64LE(BigInt(spoolDataOffset + first * rowBytes), strip * 8);
    sizes.writeBigUInt64LE(BigInt(rows * rowBytes), strip * 8);
  }
  const blocks: [number, Buffer | undefined][] = [
    [tag.icc, metadata.icc],
    [tag.xmp, metadata.xmp],
    [tag.iptc, metadata.iptc],
    [tag.photoshop, metadata.photoshop],
  ];
  return [
    long(tag.width, width),
    long(tag.height, height),
    short(tag.bitsPerSample, ...new Array<number>(channels).fill(depth)),
    short(tag.compression, 1),
    short(tag.photometric, channels >= 3 ? 2 : 1),
    { id: tag.stripOffsets, type: type.long8, count: strips, values: offsets },
    short(tag.orientation, metadata.orientation),
    short(tag.samplesPerPixel, channels),
    long(tag.rowsPerStrip, rowsPerStrip),
    { id: tag.stripByteCounts, type: type.long8, count: strips, values: sizes },
    short(tag.planar, 1),
    // 2: alpha that the colours were not multiplied with.
    ...(channels % 2 === 0 ? [short(tag.extraSamples, 2)] : []),
    ...resolutionFields(metadata.density),
    ...blocks.flatMap(([id, values]) =>
      values === undefined ? [] : [{ id, type: type.bytes, count: values.length, values }],
    ),
  ];
}

function resolutionFields(density: number | undefined): Field[] {
  if (density === undefined) return [];
  const values = Buffer.alloc(8);
  values.writeUInt32LE(Math.round(density * 1_000), 0);
  values.writeUInt32LE(1_000, 4);
  const inch = 2;
  return [
    { id: tag.xResolution, type: type.rational, count: 1, values },
    { id: tag.yResolution, type: type.rational, count: 1, values },
    short(tag.resolutionUnit, inch),
  ];
}

function short(id: number, ...numbers: number[]): Field {
  const values = Buffer.alloc(numbers.length * 2);
  numbers.forEach((number, at) => values.writeUInt16LE(number, at * 2));
  return { id, type: type.short, count: numbers.length, values };
}

function long(id: number, number: number): Field {
  const values = Buffer.alloc(4);
  values.writeUInt32LE(number);
  return { id, type: type.long, count: 1, values };
}
