/**
 * Images of many kinds with the fields of their requests: the load of a mesh during fault
 * injection.
 */
import type { SpoolShape } from '../../image/index.ts';
import { dimPhotograph, imageOf } from '../../image/testing/samples.ts';

export interface SampleKind {
  name: string;
  /** Sides in percent of the requested size, channels and bits; every kind differs. */
  shape: { width: number; height: number } & Pick<SpoolShape, 'channels' | 'depth'>;
  ending: keyof typeof writers;
  /** Fields of the request for this image. */
  fields: Readonly<Record<string, string>>;
}

type Image = ReturnType<typeof imageOf>;

const writers = {
  png: (image: Image) => image.png({ compressionLevel: 1 }),
  jpg: (image: Image) => image.jpeg({ quality: 90 }),
  /** Uncompressed tiles in a BigTIFF. */
  tiled: (image: Image) => image.tiff({ tile: true, compression: 'none', bigtiff: true }),
  strips: (image: Image) => image.tiff({ compression: 'lzw' }),
  webp: (image: Image) => image.webp({ lossless: true, effort: 0 }),
};
const endings = { png: 'png', jpg: 'jpg', tiled: 'tif', strips: 'tif', webp: 'webp' } as const;

const kind = (
  name: string,
  ending: SampleKind['ending'],
  [width, height, channels, depth]: [number, number, SpoolShape['channels'], SpoolShape['depth']],
  fields: SampleKind['fields'] = {},
): SampleKind => ({ name, ending, shape: { width, height, channels, depth }, fields });

/** Covers grey, RGB and alpha, 8 and 16 bit, and every format, mode and definition. */
export const sampleKinds: readonly SampleKind[] = [
  kind('rgb', 'png', [100, 80, 3, 8]),
  kind('rgb-16', 'png', [70, 70, 3, 16], { definition: 'vips' }),
  kind('grey', 'jpg', [120, 90, 1, 8], { definition: 'pillow' }),
  kind('photograph', 'jpg', [110, 85, 3, 8], { mode: 'per-channel', definition: 'opencv' }),
  kind('rgb-alpha', 'png', [80, 95, 4, 8], { mode: 'luminance' }),
  kind('grey-16', 'tiled', [110, 75, 1, 16], { definition: 'textbook' }),
  kind('grey-alpha', 'strips', [90, 90, 2, 8], { mode: 'grey' }),
  kind('rgb-tiled', 'tiled', [65, 130, 3, 8], { format: 'png' }),
  kind('web', 'webp', [75, 60, 3, 8], { format: 'tiff' }),
];

/** The file name of a kind. */
export function sampleFile({ name, ending }: SampleKind): string {
  return `${name}.${endings[ending]}`;
}

/** Writes the image of a kind. @param side pixels that are 100 percent of a side */
export async function writeSample({ shape, ending }: SampleKind, side: number, file: string): Promise<void> {
  const pixels = (percent: number) => Math.max(1, Math.round((side * percent) / 100));
  const scaled = { ...shape, width: pixels(shape.width), height: pixels(shape.height) };
  await writers[ending](imageOf(scaled, dimPhotograph(scaled))).toFile(file);
}
