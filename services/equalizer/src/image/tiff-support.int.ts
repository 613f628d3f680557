import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { open } from 'node:fs/promises';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { decode } from './decode.ts';
import { placeOf, readLayout, spansOf, type SpoolShape } from './formats/layout.ts';
import { readDirectory } from './formats/tiff.ts';
import { identify } from './identify.ts';
import { randomTiffs, writeTiff, type RandomTiff } from './testing/random-tiffs.ts';
import { largestDifference, place, spoolPixels, type Place } from './testing/samples.ts';

const named = /^image\.(unsupported_(depth|colour|layout)|damaged)$/;
const timeLimitMs = 12_000;

/** The pixels of a bare image, read in place. */
async function pixelsInPlace(file: string, shape: SpoolShape): Promise<Buffer> {
  const handle = await open(file, 'r');
  try {
    const layout = await readLayout(handle, await readDirectory(handle, 0), shape);
    assert.ok(layout !== undefined);
    const rows: Buffer[] = [];
    for (let top = 0; top < shape.height; top++) {
      for (const span of spansOf(shape, [layout], { left: 0, top, width: shape.width, height: 1 }, 1_000)) {
        const row = Buffer.alloc(span.width * layout.pixelBytes);
        await handle.read(row, 0, row.length, placeOf(layout, span));
        rows.push(row);
      }
    }
    return Buffer.concat(rows);
  } finally {
    await handle.close();
  }
}

/** Checks one file. @returns how it was read */
async function checkFile(files: Place, spec: RandomTiff): Promise<'refused' | 'decoded' | 'bare'> {
  const { file, pixels } = writeTiff(spec);
  writeFileSync(files.at('in'), file);
  const facts = await identify(files.at('in')).catch((error: unknown) => {
    assert.match((error as { code: string }).code, named, String(error));
    return undefined;
  });
  if (facts === undefined) return 'refused';
  assert.ok(pixels !== undefined, 'pixels without a meaning were accepted');
  const { shape } = await decode(files.at('in'), files.at('spool'));
  const decoded = spoolPixels(files.at('spool'), shape);
  // Division by alpha is rounded; nothing else is.
  const tolerance = spec.extraSamples?.[0] === 1 ? 1 : 0;
  assert.ok(largestDifference(decoded, pixels) <= tolerance, 'the library reads other pixels');
  if (facts.tiff?.bare !== true) return 'decoded';
  const inPlace = await pixelsInPlace(files.at('in'), shape);
  assert.ok(inPlace.equals(decoded), 'the pixels in place are not those that the library reads');
  return 'bare';
}

describe('support of TIFF layouts', () => {
  it('any TIFF is read as it was written, or refused by name before it is decoded', async () => {
    using files = place();
    const found = { refused: 0, decoded: 0, bare: 0 };
    await fc.assert(
      fc.asyncProperty(randomTiffs, async (spec) => {
        found[await checkFile(files, spec)]++;
      }),
      { numRuns: 1_500, interruptAfterTimeLimit: timeLimitMs },
    );
    // Without a floor, the refusal of every file would pass.
    const all = found.refused + found.decoded + found.bare;
    assert.ok(found.decoded > all / 10 && found.bare > all / 40, JSON.stringify(found));
  });
});
