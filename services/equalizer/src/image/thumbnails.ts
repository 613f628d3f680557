/**
 * Removes thumbnails from metadata: a result would otherwise contain the picture from before its
 * equalization. Everything else in a block stays as it is, and at its place.
 */

const [ifdEntryBytes, directoriesMax] = [12, 16];
/** TIFF field types of the numbers in question: 16 and 32 bit. */
const shortType = 3;
/** Start and length of a thumbnail: as JPEG, and as bare strips. */
const jpegFields = [0x201, 0x202] as const;
const thumbnailFields = [jpegFields, [0x111, 0x117]] as const;
/** A whole thumbnail as the value of a field, as Windows writes it into the first directory. */
const thumbnailData = 0x501b;
/** Strips of a thumbnail. */
const stripsMax = 4_096;

/**
 * EXIF keeps its thumbnail in the directories that follow the first one; some programs keep it in
 * the first one. The link to the others is removed; they and all thumbnails become zeros, so that
 * all other offsets stay valid. What is zero at the end of the block is cut off.
 * @param exif the block without its "Exif\0\0" prefix
 */
export function withoutExifThumbnail(exif: Buffer): Buffer {
  const order = exif.toString('latin1', 0, 2);
  if (exif.length < 8 || (order !== 'II' && order !== 'MM')) return exif;
  const copy = Buffer.from(exif);
  const short = (at: number) => (order === 'II' ? exif.readUInt16LE(at) : exif.readUInt16BE(at));
  const long = (at: number) => (order === 'II' ? exif.readUInt32LE(at) : exif.readUInt32BE(at));
  /** Place of the link behind a directory; undefined if it is not inside the block. */
  const linkOf = (directory: number): number | undefined => {
    if (directory < 8 || directory + 2 > exif.length) return undefined;
    const at = directory + 2 + short(directory) * ifdEntryBytes;
    return at + 4 <= exif.length ? at : undefined;
  };
  const firstLink = linkOf(long(4));
  if (firstLink === undefined) return exif;
  const kept = { from: long(4), to: firstLink + 4 };
  let end = exif.length;
  const erase = (from: number, to: number): void => {
    // A damaged block may name its own first directory as thumbnail.
    if (from < 8 || to <= from || (from < kept.to && to > kept.from)) return;
    copy.fill(0, from, Math.min(to, exif.length));
    if (to >= end) end = Math.min(end, from);
  };
  /** The places of the fields of a directory, by their numbers. */
  const fieldsOf = (from: number, link: number): Map<number, number> => {
    const fields = new Map<number, number>();
    for (let at = from + 2; at < link; at += ifdEntryBytes) fields.set(short(at), at);
    return fields;
  };
  const numbersOf = (at: number | undefined): number[] => {
    if (at === undefined) return [];
    const [read, size] = short(at + 2) === shortType ? ([short, 2] as const) : ([long, 4] as const);
    const count = Math.min(long(at + 4), stripsMax);
    const from = count * size <= 4 ? at + 8 : long(at + 8);
    const inside = Math.max(0, Math.min(count, Math.floor((exif.length - from) / size)));
    return Array.from({ length: inside }, (_, index) => read(from + index * size));
  };
  const eraseThumbnails = (
    fields: ReadonlyMap<number, number>,
    pairs: readonly (readonly [number, number])[],
  ): void => {
    for (const [start, length] of pairs) {
      const lengths = numbersOf(fields.get(length));
      numbersOf(fields.get(start)).forEach((from, at) => {
        erase(from, from + (lengths[at] ?? 0));
      });
    }
    const data = fields.get(thumbnailData);
    if (data !== undefined && long(data + 4) > 4) erase(long(data + 8), long(data + 8) + long(data + 4));
  };
  const first = fieldsOf(long(4), firstLink);
  const hasOwn = [...jpegFields, thumbnailData].some((field) => first.has(field));
  if (long(firstLink) === 0 && !hasOwn) return exif;
  copy.fill(0, firstLink, firstLink + 4);
  eraseThumbnails(first, [jpegFields]);
  for (const field of jpegFields) {
    const at = first.get(field);
    if (at !== undefined) copy.fill(0, at + 8, at + ifdEntryBytes);
  }
  let directory = long(firstLink);
  for (let count = 0; directory !== 0 && count < directoriesMax; count++) {
    const link = linkOf(directory);
    if (link === undefined) break;
    eraseThumbnails(fieldsOf(directory, link), thumbnailFields);
    erase(directory, link + 4);
    directory = long(link);
  }
  return copy.subarray(0, Math.max(end, kept.to));
}

/** Numbers of Photoshop's image resources that hold a thumbnail. */
const thumbnailResources = [1033, 1036];

/** A list of Photoshop's image resources, with or without the prefix that it has in a JPEG. */
export function withoutPhotoshopThumbnail(block: Buffer): Buffer {
  const prefix = block.toString('latin1', 0, 14) === 'Photoshop 3.0\0' ? 14 : 0;
  const parts = [block.subarray(0, prefix)];
  let at = prefix;
  while (at + 12 <= block.length && block.toString('latin1', at, at + 4) === '8BIM') {
    const nameBytes = 1 + block[at + 6]!;
    const sizeAt = at + 6 + nameBytes + (nameBytes % 2);
    if (sizeAt + 4 > block.length) break;
    const size = block.readUInt32BE(sizeAt);
    const end = Math.min(block.length, sizeAt + 4 + size + (size % 2));
    if (!thumbnailResources.includes(block.readUInt16BE(at + 4))) parts.push(block.subarray(at, end));
    at = end;
  }
  return Buffer.concat([...parts, block.subarray(at)]);
}

/** XMP keeps thumbnails as base64 in an element of its own. */
export function withoutXmpThumbnail(xmp: Buffer): Buffer {
  const text = xmp.toString('latin1');
  const cut = text.replaceAll(/<([\w-]+:Thumbnails)\b[^>]*>[\s\S]*?<\/\1\s*>/g, '');
  return cut.length === text.length ? xmp : Buffer.from(cut, 'latin1');
}
