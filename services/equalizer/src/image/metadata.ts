/** What an image file carries besides its pixels. */
import type { Metadata } from 'sharp';
import { withoutExifThumbnail, withoutPhotoshopThumbnail, withoutXmpThumbnail } from './thumbnails.ts';

/** Metadata that is kept from the upload to the result. */
export interface ImageMetadata {
  /** EXIF orientation, 1 to 8. */
  orientation: number;
  /** Pixels per inch; undefined if the file does not state it. */
  density?: number;
  icc?: Buffer;
  xmp?: Buffer;
  iptc?: Buffer;
  photoshop?: Buffer;
  /**
   * The EXIF block without its "Exif\0\0" prefix. A spool keeps it outside its TIFF directory
   * (`writeSpoolFrame`).
   */
  exif?: Buffer;
}

/** Pixels per inch; more cannot be written as a fraction of a TIFF. */
const densityMax = 4_000_000;
const profileHeaderBytes = 132;

/**
 * The profile at its stated size (ICC.1, 7.2); undefined if it is none, because the encoder of PNG
 * refuses an image for the sake of a damaged profile.
 */
function profileOf(block: Buffer | undefined): Buffer | undefined {
  if (block === undefined || block.length < profileHeaderBytes) return undefined;
  const bytes = block.readUInt32BE(0);
  const isProfile =
    bytes >= profileHeaderBytes && bytes <= block.length && block.toString('latin1', 36, 40) === 'acsp';
  return isProfile ? block.subarray(0, bytes) : undefined;
}

/** The metadata that is kept of a file, from the header that sharp has read; no thumbnails. */
export function metadataOf(header: Metadata): ImageMetadata {
  const prefix = Buffer.from('Exif\0\0', 'latin1');
  const exif = header.exif;
  const block = exif?.subarray(0, 6).equals(prefix) === true ? exif.subarray(6) : exif;
  const density = header.density ?? 0;
  const icc = profileOf(header.icc);
  return {
    orientation: header.orientation ?? 1,
    ...(density > 0 && density <= densityMax ? { density } : {}),
    ...(icc === undefined ? {} : { icc }),
    ...(header.xmp === undefined ? {} : { xmp: withoutXmpThumbnail(header.xmp) }),
    ...(header.iptc === undefined ? {} : { iptc: withoutPhotoshopThumbnail(header.iptc) }),
    ...(header.tifftagPhotoshop === undefined
      ? {}
      : { photoshop: withoutPhotoshopThumbnail(header.tifftagPhotoshop) }),
    ...(block === undefined ? {} : { exif: withoutExifThumbnail(block) }),
  };
}
