/**
 * Limits on the size of images. The node's configuration sets them; the defaults suit a node with
 * 512 MiB.
 */

export interface ImageLimits {
  /** Maximum size of an uploaded file. */
  fileBytesMax: number;
  /** Maximum width × height of a page that is read strip by strip. */
  pixelsMax: number;
  /**
   * Maximum width × height of a page that must be in memory as a whole: progressive JPEG,
   * interlaced PNG, WebP, TIFF with huge strips or tiles.
   */
  wholeImagePixelsMax: number;
  /** Maximum number of pages of a TIFF that are searched. */
  pagesMax: number;
  /** Maximum size of EXIF, ICC, XMP and IPTC of one image together. */
  metadataBytesMax: number;
}

export const imageLimitsDefault: ImageLimits = {
  fileBytesMax: 2 * 1024 ** 3,
  pixelsMax: 1_000_000_000,
  wholeImagePixelsMax: 50_000_000,
  pagesMax: 10_000,
  metadataBytesMax: 8 * 1024 * 1024,
};

/** A TIFF with a larger row of tiles, or a larger strip, counts as read as a whole. */
export const segmentBytesMax = 32 * 1024 * 1024;
