/**
 * Histograms and tables as bytes (little-endian, nothing before or after), for records and blobs.
 */
import { EqualizationError } from './errors.ts';
import { planeSums, type Histogram } from './histogram.ts';
import type { EqualizationPlan } from './plan.ts';
import type { LookupTables } from './tables.ts';

/** Bytes of one encoded histogram: 1 KiB a plane at 8 bit, 256 KiB a plane at 16 bit. */
export function histogramBytes(plan: EqualizationPlan): number {
  return plan.planes * plan.bins * 4;
}

/** Bytes of the encoded tables: 256 bytes a plane at 8 bit, 128 KiB a plane at 16 bit. */
export function tablesBytes(plan: EqualizationPlan): number {
  return (plan.planes * plan.bins * plan.depth) / 8;
}

export function encodeHistogram(histogram: Histogram): Uint8Array {
  const bytes = new Uint8Array(histogram.counts.length * 4);
  const view = new DataView(bytes.buffer);
  const { counts } = histogram;
  for (let bin = 0; bin < counts.length; bin++) view.setUint32(bin * 4, counts[bin]!, true);
  return bytes;
}

/**
 * @throws EqualizationError `equalization.damaged`: of another size, or planes that count different
 *   numbers of pixels
 */
export function decodeHistogram(plan: EqualizationPlan, bytes: Uint8Array): Histogram {
  checkLength(bytes, histogramBytes(plan));
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const counts = new Uint32Array(plan.planes * plan.bins);
  for (let bin = 0; bin < counts.length; bin++) counts[bin] = view.getUint32(bin * 4, true);
  const sums = planeSums(plan, counts);
  if (sums.some((sum) => sum !== sums[0])) {
    throw new EqualizationError('equalization.damaged', 'the planes count different numbers of pixels');
  }
  return { pixels: sums[0] ?? 0, counts };
}

export function encodeTables(tables: LookupTables): Uint8Array {
  const { entries } = tables;
  const bytes = new Uint8Array(entries.byteLength);
  const view = new DataView(bytes.buffer);
  const wide = entries.BYTES_PER_ELEMENT === 2;
  entries.forEach((entry, at) => {
    if (wide) view.setUint16(at * 2, entry, true);
    else view.setUint8(at, entry);
  });
  return bytes;
}

/** @throws EqualizationError `equalization.damaged`: of another size */
export function decodeTables(plan: EqualizationPlan, bytes: Uint8Array): LookupTables {
  checkLength(bytes, tablesBytes(plan));
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const length = plan.planes * plan.bins;
  const entries =
    plan.depth === 8
      ? Uint8Array.from({ length }, (_, at) => view.getUint8(at))
      : Uint16Array.from({ length }, (_, at) => view.getUint16(at * 2, true));
  return { entries };
}

function checkLength(bytes: Uint8Array, expected: number): void {
  if (bytes.byteLength === expected) return;
  throw new EqualizationError('equalization.damaged', `${bytes.byteLength} bytes where ${expected} belong`);
}
