/** Generated image files for tests. */
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import type { Sharp } from 'sharp';
import { sharp } from '../library.ts';
import { colourSpaceOf } from '../decode.ts';
import { dataBytes, spoolDataOffset, type SpoolShape } from '../spool-file.ts';

/** A folder that is gone after the test. */
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

/** Samples that a seed fixes; `range` below the depth's makes a dim image. */
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

/** Every kind of pixels that is taken. */
export const shapes: readonly SpoolShape[] = ([8, 16] as const).flatMap((depth) =>
  ([1, 2, 3, 4] as const).map((channels) => ({ width: 61, height: 47, channels, depth })),
);
