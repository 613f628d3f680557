/** Images of many kinds, each with what is asked of it: what a mesh is loaded with while it is hurt. */
import type { Sharp } from 'sharp';
import type { SpoolShape } from '../image/index.ts';
import { dimPhotograph, imageOf } from '../image/testing/samples.ts';

export interface SampleKind {
  name: string;
  /** Sides in percent of the size that is asked for, channels and bits: no two kinds alike. */
  shape: { width: number; height: number } & Pick<SpoolShape, 'channels' | 'depth'>;
  ending: keyof typeof writers;
  /** Fields of the request. */
  fields: Readonly<Record<string, string>>;
}

const writers = {
  png: (image: Sharp) => image.png({ compressionLevel: 1 }),
  jpg: (image: Sharp) => image.jpeg({ quality: 90 }),
  /** Uncompressed tiles in a BigTIFF. */
  tiled: (image: Sharp) => image.tiff({ tile: true, compression: 'none', bigtiff: true }),
  strips: (image: Sharp) => image.tiff({ compression: 'lzw' }),
  webp: (image: Sharp) => image.webp({ lossless: true, effort: 0 }),
};
const endings = { png: 'png', jpg: 'jpg', tiled: 'tif', strips: 'tif', webp: 'webp' } as const;

const kind = (
  name: string,
  ending: SampleKind['ending'],
  [width, height, channels, depth]: [number, number, SpoolShape['channels'], SpoolShape['depth']],
  fields: SampleKind['fields'] = {},
): SampleKind => ({ name, ending, shape: { width, height, channels, depth }, fields });

/** Grey, RGB and alpha, 8 and 16 bit, every format, mode and definition at least once. */
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

/** The file's name of a kind. */
export function sampleFile({ name, ending }: SampleKind): string {
  return `${name}.${endings[ending]}`;
}

/** Writes the image of a kind. @param side what its sides are percents of, in pixels */
export async function writeSample({ shape, ending }: SampleKind, side: number, file: string): Promise<void> {
  const pixels = (percent: number) => Math.max(1, Math.round((side * percent) / 100));
  const scaled = { ...shape, width: pixels(shape.width), height: pixels(shape.height) };
  await writers[ending](imageOf(scaled, dimPhotograph(scaled))).toFile(file);
}
