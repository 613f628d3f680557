/** Equalizes an image in this thread, in one piece, to compare distributed results with it. */
import { HistogramMerge, lookupTablesOf, type EqualizationPlan } from '@thermomesh/equalization';
import { decode } from '../decode.ts';
import { countRectangle, mapRectangle } from '../pixels.ts';
import { createResult } from '../result.ts';
import { spoolPixels } from './samples.ts';

/**
 * Equalizes a file, using spools beside `work`.
 * @returns the pixels of the result
 */
export async function equalizeHere(file: string, work: string, plan: EqualizationPlan): Promise<Buffer> {
  const [spool, result] = [`${work}.spool`, `${work}.result`];
  const { shape } = await decode(file, spool);
  const whole = { left: 0, top: 0, width: shape.width, height: shape.height };
  const merge = new HistogramMerge(plan, new Map([['whole', shape.width * shape.height]]));
  merge.put('whole', await countRectangle(spool, shape, plan, whole));
  const resultShape = await createResult(spool, result, plan.outputChannels);
  await mapRectangle(spool, shape, plan, lookupTablesOf(plan, merge.totals()), whole, result);
  return spoolPixels(result, resultShape);
}
