/**
 * The image formats that this service reads and writes. A new format starts here: the compiler then
 * names some of the places that need an entry for it; `../README.md`, "A new format", has the
 * others.
 */

export const imageFormats = ['jpeg', 'png', 'webp', 'tiff'] as const;
export type ImageFormat = (typeof imageFormats)[number];

/** What distinguishes a format, as far as this service has to know. */
export interface FormatTraits {
  /**
   * Whether a file is of this format, by its first 16 bytes (as Latin-1 text). Tested in the order
   * of {@link imageFormats}.
   */
  matches(head: string): boolean;
  /** The libvips operation that reads it; every other loader is blocked (`../library.ts`). */
  loader: string;
  /** Longest side that the format can express, in pixels; PNG's and TIFF's are library limits. */
  sideMax: number;
  /** Whether it can hold samples of 16 bit. */
  holds16Bit: boolean;
  /** Whether it can hold an alpha channel. */
  holdsAlpha: boolean;
}

export const formatTraits: Readonly<Record<ImageFormat, FormatTraits>> = {
  jpeg: {
    matches: (head) => head.startsWith('\xff\xd8\xff'),
    loader: 'VipsForeignLoadJpegFile',
    sideMax: 65_535,
    holds16Bit: false,
    holdsAlpha: false,
  },
  png: {
    matches: (head) => head.startsWith('\x89PNG\r\n\x1a\n'),
    loader: 'VipsForeignLoadPngFile',
    sideMax: 1_000_000,
    holds16Bit: true,
    holdsAlpha: true,
  },
  webp: {
    matches: (head) => head.startsWith('RIFF') && head.slice(8, 12) === 'WEBP',
    loader: 'VipsForeignLoadWebpFile',
    sideMax: 16_383,
    holds16Bit: false,
    holdsAlpha: true,
  },
  tiff: {
    matches: (head) => /^(?:II[*+]\0|MM\0[*+])/.test(head),
    loader: 'VipsForeignLoadTiffFile',
    sideMax: 2 ** 31 - 1,
    holds16Bit: true,
    holdsAlpha: true,
  },
};

/** The format of a file by its first 16 bytes; undefined if it is none of these formats. */
export function formatOf(head: Buffer): ImageFormat | undefined {
  const text = head.toString('latin1');
  return imageFormats.find((format) => formatTraits[format].matches(text));
}
