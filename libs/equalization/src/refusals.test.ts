import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { applyTables } from './apply.ts';
import { decodeHistogram, decodeTables } from './codec.ts';
import { EqualizationError, type EqualizationErrorCode } from './errors.ts';
import { histogramOf } from './histogram.ts';
import { HistogramMerge } from './merge.ts';
import { planEqualization, type Mode } from './plan.ts';
import { lookupTablesOf } from './tables.ts';

const plan = planEqualization({ depth: 8, channels: 1 });
const bytes = (...samples: number[]) => ({
  samples: Uint8Array.from(samples),
  width: samples.length,
  height: 1,
});

function refused(code: EqualizationErrorCode, work: () => unknown): void {
  assert.throws(
    work,
    (error) => error instanceof EqualizationError && error.code === code && !error.retriable,
  );
}

describe('plans', () => {
  it('opencv and pillow refuse 16 bit and name the definitions that support it', () => {
    for (const definition of ['opencv', 'pillow'] as const) {
      assert.throws(() => planEqualization({ depth: 16, channels: 1, definition }), /take vips or textbook/);
    }
  });

  it('unknown modes, depths and channels are refused', () => {
    refused('equalization.unsupported', () =>
      planEqualization({ depth: 8, channels: 3, mode: 'hsv' as Mode }),
    );
    refused('equalization.unsupported', () => planEqualization({ depth: 12 as 8, channels: 3 }));
    refused('equalization.unsupported', () => planEqualization({ depth: 8, channels: 5 as 4 }));
  });

  it('defaults: luminance for colour, and a definition for each depth', () => {
    const colour = planEqualization({ depth: 16, channels: 4 });
    assert.deepEqual([colour.mode, colour.definition, colour.outputChannels], ['luminance', 'textbook', 4]);
    assert.deepEqual([plan.mode, plan.definition], ['grey', 'opencv']);
    assert.equal(planEqualization({ depth: 8, channels: 4, mode: 'grey' }).outputChannels, 2);
  });
});

describe('the merge of histograms', () => {
  const expected = new Map([
    ['a', 2],
    ['b', 1],
  ]);

  it('a histogram delivered twice counts once', () => {
    const merge = new HistogramMerge(plan, expected);
    assert.equal(merge.put('a', histogramOf(plan, bytes(5, 6))), 'added');
    assert.equal(merge.put('a', histogramOf(plan, bytes(5, 6))), 'repeated');
    merge.put('b', histogramOf(plan, bytes(6)));
    const totals = merge.totals();
    assert.deepEqual([totals.pixels, totals.counts[5], totals.counts[6]], [3, 1, 2]);
  });

  it('a second, different histogram is an error and changes nothing', () => {
    const merge = new HistogramMerge(plan, expected);
    merge.put('a', histogramOf(plan, bytes(5, 6)));
    refused('equalization.chunk_conflict', () => merge.put('a', histogramOf(plan, bytes(5, 7))));
    merge.put('b', histogramOf(plan, bytes(1)));
    assert.equal(merge.totals().counts[7], 0);
  });

  it('a histogram of an unknown chunk or of too few pixels is an error', () => {
    const merge = new HistogramMerge(plan, expected);
    refused('equalization.chunk_unknown', () => merge.put('c', histogramOf(plan, bytes(5))));
    refused('equalization.damaged', () => merge.put('a', histogramOf(plan, bytes(5))));
    refused('equalization.damaged', () => merge.put('a', { pixels: 2, counts: new Uint32Array(256) }));
  });

  it('there are no totals before every chunk is present', () => {
    const merge = new HistogramMerge(plan, expected);
    merge.put('b', histogramOf(plan, bytes(1)));
    assert.deepEqual(merge.missing(), ['a']);
    refused('equalization.incomplete', () => merge.totals());
  });

  it('a histogram changed after its delivery does not change the totals', () => {
    const merge = new HistogramMerge(plan, new Map([['a', 1]]));
    const histogram = histogramOf(plan, bytes(5));
    merge.put('a', histogram);
    histogram.counts[5] = 99;
    assert.equal(merge.totals().counts[5], 1);
  });
});

describe('rasters and bytes', () => {
  it('a raster that is too short or of another depth is refused', () => {
    refused('equalization.bad_raster', () => histogramOf(plan, { ...bytes(1, 2), width: 3 }));
    refused('equalization.bad_raster', () => histogramOf(plan, { ...bytes(1, 2), height: 2 }));
    refused('equalization.bad_raster', () => histogramOf(plan, { ...bytes(1, 2), stride: 1 }));
    refused('equalization.bad_raster', () => histogramOf(plan, { ...bytes(1), samples: new Uint16Array(1) }));
    refused('equalization.bad_raster', () => histogramOf(plan, { ...bytes(1), width: -1 }));
    refused('equalization.too_many_pixels', () => histogramOf(plan, { ...bytes(1), width: 2 ** 31 }));
  });

  it('tables of another plan are refused', () => {
    const wide = planEqualization({ depth: 16, channels: 1 });
    const tables = lookupTablesOf(wide, { pixels: 0, counts: new Float64Array(wide.bins) });
    refused('equalization.damaged', () => applyTables(plan, tables, bytes(1)));
    refused('equalization.bad_raster', () =>
      applyTables(
        wide,
        tables,
        { samples: new Uint16Array(1), width: 1, height: 1 },
        { samples: new Uint16Array(2), width: 2, height: 1 },
      ),
    );
  });

  it('bytes of another size or of disagreeing planes are refused', () => {
    refused('equalization.damaged', () => decodeHistogram(plan, new Uint8Array(1023)));
    refused('equalization.damaged', () => decodeTables(plan, new Uint8Array(255)));
    const three = planEqualization({ depth: 8, channels: 3, mode: 'per-channel' });
    refused('equalization.damaged', () => decodeHistogram(three, new Uint8Array(3072).fill(1, 0, 4)));
  });
});
