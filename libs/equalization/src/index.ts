/** Histogram equalization in three steps: count, sum, map. README.md is the way in. */
export { applyLumas, applyTables, emptyRaster } from './apply.ts';
export * from './codec.ts';
export { EqualizationError, type EqualizationErrorCode } from './errors.ts';
export { histogramOf, type Histogram } from './histogram.ts';
export { lumaOf, lumaWeights } from './luma.ts';
export { HistogramMerge, type Totals } from './merge.ts';
export * from './plan.ts';
export type { Raster, Samples } from './raster.ts';
export { lookupTablesOf, type LookupTables } from './tables.ts';
