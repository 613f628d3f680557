/**
 * The definitions against the libraries that they are named after: the same files, differences 0.
 * OpenCV 4, Pillow and libvips as Debian ships them.
 */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import path from 'node:path';
import { after, before, describe, it } from 'node:test';
import { planEqualization, type Definition, type Mode } from '@thermomesh/equalization';
import {
  findImageLibraries,
  runJobs,
  vipsHistEqual,
  type ImageLibraries,
  type LibraryJob,
} from '@thermomesh/image-libraries';
import { decode } from './decode.ts';
import type { SpoolShape } from './formats/layout.ts';
import { equalizeHere } from './testing/here.ts';
import { imageOf, noise, place, spoolPixels, type Place } from './testing/samples.ts';

type Samples = Uint8Array | Uint16Array;
interface Subject {
  name: string;
  shape: SpoolShape;
  samples: Samples;
}

let libraries: ImageLibraries;
let files: Place;

before(async () => {
  const toolsDir = path.resolve(import.meta.dirname, '../../../../.mesh/tools');
  const found = await findImageLibraries(toolsDir, process.env);
  if ('missing' in found) throw new Error(found.missing);
  libraries = found;
  files = place();
});
after(() => {
  files?.[Symbol.dispose]();
});

/** A photograph's kind of histogram: two dim hills. */
function hills(shape: SpoolShape): Samples {
  const samples = noise(shape, 77);
  const range = 2 ** shape.depth;
  const source = noise(shape, 78);
  for (let at = 0; at < samples.length; at++) {
    const centre = source[at]! % 3 === 0 ? 0.62 : 0.31;
    const spread = ((samples[at]! / range) * (source[at]! / range) - 0.25) * 0.4;
    samples[at] = Math.min(range - 1, Math.max(0, Math.round((centre + spread) * range)));
  }
  return samples;
}

const kinds: [string, (shape: SpoolShape) => Samples][] = [
  ['flat', (shape) => noise(shape, 1, 1).fill(2 ** shape.depth / 3)],
  ['black', (shape) => noise(shape, 1, 1)],
  ['two-valued', (shape) => noise(shape, 5, 2).map((value) => 40 + value * 90)],
  ['dim', (shape) => noise(shape, 9, shape.depth === 8 ? 23 : 1_777)],
  ['hills', hills],
  ['any', (shape) => noise(shape, 13)],
];

/** Width, height, and the kinds that are worth their time there. */
const sizes: [number, number, string[]][] = [
  [1, 1, ['flat', 'black']],
  [1, 37, kinds.map(([kind]) => kind)],
  [61, 47, kinds.map(([kind]) => kind)],
  [7, 300, kinds.map(([kind]) => kind)],
  // Above 640 × 480 OpenCV counts in parallel.
  [660, 483, ['hills']],
];

function subjects(channels: 1 | 3, depth: 8 | 16): Subject[] {
  return sizes.flatMap(([width, height, wanted]) =>
    kinds
      .filter(([kind]) => wanted.includes(kind))
      .map(([kind, make]) => {
        const shape = { width, height, channels, depth } as const;
        return { name: `${width}x${height}-${kind}-${channels}-${depth}`, shape, samples: make(shape) };
      }),
  );
}

async function write(each: Subject): Promise<string> {
  const file = files.at(`${each.name}.png`);
  await imageOf(each.shape, each.samples).png({ compressionLevel: 1 }).toFile(file);
  return file;
}

/** How many bytes of the other result are not ours. */
async function differences(
  file: string,
  shape: SpoolShape,
  how: { mode: Mode; definition: Definition },
  other: Buffer,
) {
  const ours = await equalizeHere(file, files.at('ours'), planEqualization({ ...shape, ...how }));
  assert.equal(other.length, ours.length, 'another number of bytes');
  return ours.equals(other) ? 0 : ours.filter((byte, at) => byte !== other[at]).length;
}

describe('equalization by the libraries themselves', () => {
  for (const library of ['opencv', 'pillow'] as const) {
    for (const [channels, mode] of [
      [1, 'grey'],
      [3, 'per-channel'],
      ...(library === 'opencv' ? [[3, 'grey'] as const] : []),
    ] as const) {
      it(`${library} at 8 bit, ${channels} channels, ${mode}: every pixel is equal`, async () => {
        const jobs: (LibraryJob & { subject: Subject })[] = [];
        for (const subject of subjects(channels, 8)) {
          const file = await write(subject);
          jobs.push({ library, mode, file, out: `${file}.${library}`, subject });
        }
        await runJobs(libraries, jobs);
        for (const { file, out, subject } of jobs) {
          const found = await differences(
            file,
            subject.shape,
            { mode, definition: library },
            readFileSync(out),
          );
          assert.equal(found, 0, subject.name);
        }
      });
    }
  }

  for (const depth of [8, 16] as const) {
    for (const [channels, mode] of [
      [1, 'grey'],
      [3, 'per-channel'],
    ] as const) {
      it(`vips at ${depth} bit, ${channels} channels, ${mode}: every pixel is equal`, async () => {
        for (const subject of subjects(channels, depth)) {
          const file = await write(subject);
          const out = `${file}.vips.tif`;
          await vipsHistEqual(libraries, file, out);
          await decode(out, files.at('theirs'));
          const theirs = spoolPixels(files.at('theirs'), subject.shape);
          const found = await differences(file, subject.shape, { mode, definition: 'vips' }, theirs);
          assert.equal(found, 0, subject.name);
        }
      });
    }
  }
});
