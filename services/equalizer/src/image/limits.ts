/** How large an image may be. The caller's configuration fills these in; the defaults suit a node with 512 MiB. */

export interface ImageLimits {
  /** Of an uploaded file. */
  fileBytesMax: number;
  /** Width × height of one page, for formats that are read strip by strip. */
  pixelsMax: number;
  /** The same for formats that need the whole image in memory: progressive JPEG, interlaced PNG, WebP, TIFF of huge strips or tiles. */
  wholeImagePixelsMax: number;
  /** Pages of a TIFF that are looked through. */
  pagesMax: number;
  /** EXIF, ICC, XMP and IPTC of one image together; above it the image is refused. */
  metadataBytesMax: number;
}

export const imageLimitsDefault: ImageLimits = {
  fileBytesMax: 2 * 1024 ** 3,
  pixelsMax: 1_000_000_000,
  wholeImagePixelsMax: 50_000_000,
  pagesMax: 10_000,
  metadataBytesMax: 8 * 1024 * 1024,
};

/** A row of tiles, or one strip, above this many bytes counts as "the whole image in memory". */
export const segmentBytesMax = 32 * 1024 * 1024;
