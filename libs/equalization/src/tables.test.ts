import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { planEqualization, type Definition, type Depth } from './plan.ts';
import { lookupTablesOf } from './tables.ts';

/** The table entries of the values that occur; `[value, count]…` in. */
function tableFor(definition: Definition, depth: Depth, counted: [number, number][]): number[] {
  const plan = planEqualization({ definition, depth, channels: 1 });
  const counts = new Float64Array(plan.bins);
  for (const [value, count] of counted) counts[value] = count;
  const pixels = counted.reduce((sum, [, count]) => sum + count, 0);
  const { entries } = lookupTablesOf(plan, { pixels, counts });
  return counted.map(([value]) => entries[value]!);
}

/** Worked out by hand from the formulas; the same counts show how far the definitions lie apart. */
const four: [number, number][] = [
  [50, 1],
  [51, 2],
  [52, 4],
  [200, 1],
];
const many: [number, number][] = [
  [10, 300],
  [20, 500],
  [30, 200],
];

describe('lookup tables', () => {
  for (const [definition, depth, counted, expected] of [
    ['opencv', 8, four, [0, 73, 219, 255]],
    ['opencv', 8, many, [0, 182, 255]],
    ['pillow', 8, four, [50, 51, 52, 200]], // 7 / 255 is a step of 0
    ['pillow', 8, many, [0, 100, 255]], // step 3: 1/3, 301/3, 801/3 cut to 255
    ['vips', 8, four, [31, 95, 223, 255]],
    ['vips', 8, many, [76, 204, 255]],
    ['textbook', 8, four, [32, 96, 223, 255]],
    ['textbook', 8, many, [77, 204, 255]],
    ['vips', 16, four, [25, 75, 175, 200]], // the largest value that occurs is the largest that comes out
    ['textbook', 16, four, [8192, 24576, 57343, 65535]],
  ] as const) {
    it(`${definition} at ${depth} bit, ${counted.length} values`, () => {
      assert.deepEqual(tableFor(definition, depth, [...counted]), [...expected]);
    });
  }

  it('a flat image stays unchanged, except under vips, which makes it white', () => {
    assert.deepEqual(tableFor('opencv', 8, [[9, 40]]), [9]);
    assert.deepEqual(tableFor('pillow', 8, [[9, 4000]]), [9]);
    assert.deepEqual(tableFor('textbook', 8, [[9, 40]]), [9]);
    assert.deepEqual(tableFor('textbook', 16, [[9, 40]]), [9]);
    assert.deepEqual(tableFor('vips', 8, [[9, 40]]), [255]);
    assert.deepEqual(tableFor('vips', 16, [[9, 40]]), [9]);
  });

  it('counts near the pixel limit lose no bit', () => {
    const huge: [number, number][] = [
      [0, 2 ** 30],
      [40_000, 2 ** 30 - 2],
      [65_535, 1],
    ];
    assert.deepEqual(tableFor('textbook', 16, huge), [32_768, 65_535, 65_535]);
  });

  it('an image without pixels has tables too', () => {
    for (const definition of ['opencv', 'pillow', 'vips', 'textbook'] as const) {
      const plan = planEqualization({ definition, depth: 8, channels: 1 });
      lookupTablesOf(plan, { pixels: 0, counts: new Float64Array(plan.bins) });
    }
  });
});
