/** Rows of interleaved samples in memory. */
import { EqualizationError } from './errors.ts';
import { pixelsMax, type Depth } from './plan.ts';

/** 8-bit samples are bytes, 16-bit samples are 16-bit words of the host's order. */
export type Samples = Uint8Array | Uint16Array;

/**
 * A rectangle of pixels. Between its rows there may be samples that do not belong to it (`stride`).
 */
export interface Raster {
  samples: Samples;
  /** Pixels in a row. */
  width: number;
  /** Rows. */
  height: number;
  /** Samples from the start of one row to the start of the next; `width × channels` if absent. */
  stride?: number;
}

/** The rows of a raster; one long row if nothing lies between them. */
export interface Layout {
  /** Samples of one row that are pixels. */
  rowSamples: number;
  rows: number;
  stride: number;
}

/**
 * Checks a raster against the kind of its pixels.
 * @throws EqualizationError `equalization.bad_raster` (too short, of another depth, a stride below
 *   the row), `equalization.too_many_pixels`
 */
export function layoutOf(raster: Raster, channels: number, depth: Depth): Layout {
  const { samples, width, height } = raster;
  if (!(samples instanceof (depth === 8 ? Uint8Array : Uint16Array))) {
    throw bad(`${depth}-bit samples come as ${depth === 8 ? 'Uint8Array' : 'Uint16Array'}`);
  }
  if (!Number.isSafeInteger(width) || !Number.isSafeInteger(height) || width < 0 || height < 0) {
    throw bad(`${width} × ${height} is no size`);
  }
  if (width * height > pixelsMax) {
    throw new EqualizationError(
      'equalization.too_many_pixels',
      `${width * height} pixels exceed ${pixelsMax}`,
    );
  }
  const rowSamples = width * channels;
  const stride = raster.stride ?? rowSamples;
  if (!Number.isSafeInteger(stride) || stride < rowSamples) throw bad(`stride ${stride} below ${rowSamples}`);
  const needed = height === 0 ? 0 : (height - 1) * stride + rowSamples;
  if (samples.length < needed) throw bad(`${samples.length} samples, ${needed} are needed`);
  return stride === rowSamples
    ? { rowSamples: rowSamples * height, rows: 1, stride: 0 }
    : { rowSamples, rows: height, stride };
}

function bad(message: string): EqualizationError {
  return new EqualizationError('equalization.bad_raster', message);
}
