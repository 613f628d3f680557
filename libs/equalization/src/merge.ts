/**
 * The reduce step: one contribution per chunk, however often and in whichever order results are
 * delivered (I4).
 */
import { EqualizationError } from './errors.ts';
import { planeSums, type Histogram } from './histogram.ts';
import { pixelsMax, type EqualizationPlan } from './plan.ts';

/** The counts of a whole image; doubles hold them exactly. */
export interface Totals {
  readonly pixels: number;
  /** `planes × bins`, plane after plane. */
  readonly counts: Float64Array;
}

/**
 * The histograms of the chunks of one image, by chunk id. There is no running total that a repeated
 * result could change: the sum is computed when every chunk is present.
 */
export class HistogramMerge {
  readonly #plan: EqualizationPlan;
  readonly #expected: ReadonlyMap<string, number>;
  readonly #byChunk = new Map<string, Histogram>();

  /**
   * @param expected the pixels of each chunk of the image, by chunk id
   * @throws EqualizationError `equalization.too_many_pixels`
   */
  constructor(plan: EqualizationPlan, expected: ReadonlyMap<string, number>) {
    const pixels = [...expected.values()].reduce((sum, each) => sum + each, 0);
    if (pixels > pixelsMax) {
      throw new EqualizationError('equalization.too_many_pixels', `${pixels} pixels exceed ${pixelsMax}`);
    }
    this.#plan = plan;
    this.#expected = new Map(expected);
  }

  /**
   * Stores the result of one chunk.
   * @returns `repeated` if the chunk has a result already; nothing changes then
   * @throws EqualizationError `equalization.chunk_unknown`; `equalization.chunk_conflict` if the
   *   first result differs, which deterministic work on the same pixels cannot cause;
   *   `equalization.damaged` if the histogram does not count the chunk's pixels
   */
  put(chunkId: string, histogram: Histogram): 'added' | 'repeated' {
    const pixels = this.#expected.get(chunkId);
    if (pixels === undefined) {
      throw new EqualizationError('equalization.chunk_unknown', `no chunk ${JSON.stringify(chunkId)}`);
    }
    const first = this.#byChunk.get(chunkId);
    if (first !== undefined) {
      if (!same(first, histogram)) {
        throw new EqualizationError('equalization.chunk_conflict', `two results of ${chunkId} differ`);
      }
      return 'repeated';
    }
    check(this.#plan, histogram, pixels);
    this.#byChunk.set(chunkId, { pixels, counts: histogram.counts.slice() });
    return 'added';
  }

  /** The chunks without a result, in the order of the plan. */
  missing(): string[] {
    return [...this.#expected.keys()].filter((id) => !this.#byChunk.has(id));
  }

  /**
   * The sum of all histograms.
   * @throws EqualizationError `equalization.incomplete` while a chunk is missing
   */
  totals(): Totals {
    const missing = this.missing();
    if (missing.length > 0) {
      throw new EqualizationError('equalization.incomplete', `${missing.length} chunks have no result`);
    }
    const counts = new Float64Array(this.#plan.planes * this.#plan.bins);
    let pixels = 0;
    for (const histogram of this.#byChunk.values()) {
      pixels += histogram.pixels;
      for (let bin = 0; bin < counts.length; bin++) counts[bin]! += histogram.counts[bin]!;
    }
    return { pixels, counts };
  }
}

function same(one: Histogram, other: Histogram): boolean {
  if (one.pixels !== other.pixels || one.counts.length !== other.counts.length) return false;
  for (let bin = 0; bin < one.counts.length; bin++) if (one.counts[bin] !== other.counts[bin]) return false;
  return true;
}

/** Each plane must count every pixel of the chunk once, no more and no less. */
function check(plan: EqualizationPlan, histogram: Histogram, pixels: number): void {
  const { counts } = histogram;
  const sums = planeSums(plan, counts);
  const wrongSize = counts.length !== plan.planes * plan.bins;
  if (wrongSize || histogram.pixels !== pixels || sums.some((sum) => sum !== pixels)) {
    throw new EqualizationError(
      'equalization.damaged',
      `a histogram of ${counts.length} bins counts ${sums.join(', ')} pixels where ${plan.planes * plan.bins} bins count ${pixels}`,
    );
  }
}
