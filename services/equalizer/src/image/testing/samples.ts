/** Generated image files for tests. */
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import type { Sharp } from 'sharp';
import { sharp } from '../library.ts';
import { colourSpaceOf } from '../decode.ts';
import { dataBytes, type SpoolShape } from '../formats/layout.ts';
import { spoolDataOffset } from '../spool/spool-file.ts';

/** A folder that is removed after the test. */
export interface Place extends Disposable {
  at(name: string): string;
  names(): string[];
}

export function place(): Place {
  const folder = mkdtempSync(path.join(os.tmpdir(), 'thermomesh-image-'));
  return {
    at: (name) => path.join(folder, name),
    names: () => readdirSync(folder).sort(),
    [Symbol.dispose]: () => {
      rmSync(folder, { recursive: true, force: true });
    },
  };
}

/** Pseudo-random samples of a seed; a `range` below that of the depth makes a dim image. */
export function noise(shape: SpoolShape, seed = 1, range = 2 ** shape.depth): Uint8Array | Uint16Array {
  const length = shape.width * shape.height * shape.channels;
  const samples = shape.depth === 8 ? new Uint8Array(length) : new Uint16Array(length);
  let state = seed;
  for (let at = 0; at < length; at++) {
    state = (Math.imul(state, 1_103_515_245) + 12_345) & 0x7fffffff;
    samples[at] = (state >>> 8) % range;
  }
  return samples;
}

/** An image of these samples, to be written in any format. */
export function imageOf(shape: SpoolShape, samples: Uint8Array | Uint16Array): Sharp {
  const { width, height, channels } = shape;
  return sharp(samples, { raw: { width, height, channels } }).toColourspace(colourSpaceOf(shape));
}

/** The pixels of a spool as bytes. */
export function spoolPixels(file: string, shape: SpoolShape): Buffer {
  return readFileSync(file).subarray(spoolDataOffset, spoolDataOffset + dataBytes(shape));
}

/** The bytes of samples. */
export function bytesOf(samples: Uint8Array | Uint16Array): Buffer {
  return Buffer.from(samples.buffer, samples.byteOffset, samples.byteLength);
}

/** The largest difference between samples, of which one list is given as bytes. */
export function largestDifference(bytes: Buffer, samples: Uint8Array | Uint16Array): number {
  const copy = Uint8Array.from(bytes);
  const found = samples instanceof Uint16Array ? new Uint16Array(copy.buffer) : copy;
  if (found.length !== samples.length) return Infinity;
  let most = 0;
  samples.forEach((sample, at) => (most = Math.max(most, Math.abs(sample - found[at]!))));
  return most;
}

/** Every kind of pixels that is supported. */
export const shapes: readonly SpoolShape[] = ([8, 16] as const).flatMap((depth) =>
  ([1, 2, 3, 4] as const).map((channels) => ({ width: 61, height: 47, channels, depth })),
);

/** A hazy landscape of sky, hills and a sun, within a third of the range of values. */
export function dimPhotograph(shape: SpoolShape): Uint8Array | Uint16Array {
  const { width, height, channels } = shape;
  const samples = noise(shape, 3);
  const top = 2 ** shape.depth - 1;
  for (let y = 0; y < height; y++) {
    for (let x = 0; x < width; x++) {
      const light = landscape(x / width, y / height);
      for (let channel = 0; channel < channels; channel++) {
        const at = (y * width + x) * channels + channel;
        const tint = [0.98, 1, 1.06][channel % 3]!;
        const grain = (samples[at]! / top - 0.5) * 0.02;
        samples[at] = Math.round(Math.min(1, Math.max(0, (0.36 + 0.28 * light) * tint + grain)) * top);
      }
    }
  }
  return samples;
}

/** Brightness from 0 to 1 at a place of the landscape. */
function landscape(x: number, y: number): number {
  const far = 0.55 + 0.06 * Math.sin(9 * x) + 0.03 * Math.sin(23 * x + 1);
  const near = 0.75 + 0.08 * Math.sin(5 * x + 2) + 0.02 * Math.sin(31 * x);
  if (y > near) return 0.1 + 0.25 * (y - near) + 0.05 * Math.sin(60 * x) * Math.sin(80 * y);
  if (y > far) return 0.35 + 0.3 * (y - far) + 0.03 * Math.sin(40 * x + 30 * y);
  const sun = Math.hypot((x - 0.72) * 1.5, y - 0.22) < 0.09 ? 0.25 : 0;
  return Math.min(1, 0.62 + 0.25 * y + sun);
}
