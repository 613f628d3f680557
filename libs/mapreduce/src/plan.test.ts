import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { chunkCount, planChunks, rectangleOf } from './plan.ts';

describe('chunks of an image', () => {
  it('chunks cover every pixel once, within the limits', () => {
    const small = fc.integer({ min: 1, max: 40 });
    fc.assert(
      fc.property(small, small, small, small, (width, height, chunkPixelsMax, chunksPerJobMax) => {
        const grid = planChunks(width, height, { chunkPixelsMax, chunksPerJobMax });
        const seen = new Uint8Array(width * height);
        const count = chunkCount(grid);
        assert.ok(count >= 1 && count <= chunksPerJobMax);
        for (let chunk = 0; chunk < count; chunk++) {
          const { left, top, width: wide, height: high } = rectangleOf(grid, chunk);
          assert.ok(wide >= 1 && high >= 1);
          if (Math.ceil(width / chunkPixelsMax) * height <= chunksPerJobMax)
            assert.ok(wide * high <= chunkPixelsMax, 'a chunk that is larger than it need be');
          for (let y = top; y < top + high; y++)
            for (let x = left; x < left + wide; x++) seen[y * width + x]! += 1;
        }
        assert.ok(seen.every((times) => times === 1));
      }),
      { numRuns: 500 },
    );
  });

  it('chunks are strips of full rows as long as a row fits', () => {
    const grid = planChunks(100, 1_000, { chunkPixelsMax: 2_550, chunksPerJobMax: 4_096 });
    assert.equal(chunkCount(grid), 40);
    assert.deepEqual(rectangleOf(grid, 39), { left: 0, top: 975, width: 100, height: 25 });
    assert.throws(() => rectangleOf(grid, 40), RangeError);
  });

  it('a row that is longer than a chunk is cut into pieces', () => {
    const grid = planChunks(1_000, 1, { chunkPixelsMax: 300, chunksPerJobMax: 4_096 });
    assert.equal(chunkCount(grid), 4);
    assert.deepEqual(rectangleOf(grid, 3), { left: 750, top: 0, width: 250, height: 1 });
  });

  it('invalid sides and limits are refused', () => {
    for (const bad of [0, -1, 1.5, Number.NaN, Number.POSITIVE_INFINITY]) {
      assert.throws(() => planChunks(bad, 1, { chunkPixelsMax: 1, chunksPerJobMax: 1 }), RangeError);
      assert.throws(() => planChunks(1, 1, { chunkPixelsMax: bad, chunksPerJobMax: 1 }), RangeError);
    }
  });
});
