/**
 * Equalizes one image in one process, with the same worker threads but without Kafka and ZooKeeper.
 * The result of every job must be identical to this one (I4); the benchmark compares with its
 * speed.
 */
import { open, rm } from 'node:fs/promises';
import { decodeHistogram, encodeTables, HistogramMerge, lookupTablesOf } from '@thermomesh/equalization';
import { chunkCount, planChunks, rectangleOf } from '@thermomesh/mapreduce';
import {
  chunkPixelsOf,
  decodedShape,
  planImage,
  staysInPlace,
  type EqualizationRequest,
  type ImagePlan,
} from '../../core/request.ts';
import type { ImageLimits, OutputOptions, SpoolShape } from '../../image/index.ts';
import type { ImageWorkers } from '../../worker/index.ts';

export interface ReferenceOptions {
  file: string;
  out: string;
  request: EqualizationRequest;
  workers: ImageWorkers;
  limits: ImageLimits;
  chunkPixelsMax: number;
}

/** Maximum number of chunks, and thus of tasks that the workers' queue must hold. */
export const referenceChunksMax = 4_096;

/**
 * Equalizes `file` into `out`, using temporary spools beside it. As with a job, the result is
 * synced to disk at the end.
 * @returns size of the result in bytes
 * @throws MeshError with the codes of the worker pool and of `image/`; EqualizationError
 */
export async function equalizeAlone(options: ReferenceOptions): Promise<number> {
  const { file, out, request, workers, limits } = options;
  const [spool, result] = [`${out}.spool`, `${out}.result-spool`];
  const paged = request.page === undefined ? {} : { page: request.page };
  try {
    const facts = await workers.run({ kind: 'identify', file, ...paged });
    const plan = planImage(facts, decodedShape(facts), request, limits.wholeImagePixelsMax);
    if (staysInPlace(facts, plan)) {
      const chunkPixelsMax = chunkPixelsOf(facts, plan, options.chunkPixelsMax);
      const spools = { spool: file, result, shape: decodedShape(facts), wanted: plan.output };
      await mapPixels({ ...options, chunkPixelsMax }, plan, spools);
    } else {
      const { shape } = await workers.run({ kind: 'decode', file, spool, ...paged });
      await mapPixels(options, plan, { spool, result, shape });
    }
    const { bytes } = await workers.run({ kind: 'encode', spool: result, file: out, output: plan.output });
    await sync(out);
    return bytes;
  } finally {
    await Promise.all([spool, result].map(async (each) => rm(each, { force: true })));
  }
}

async function sync(file: string): Promise<void> {
  const handle = await open(file, 'r');
  await handle.sync().finally(async () => handle.close());
}

interface Spools {
  spool: string;
  result: string;
  shape: SpoolShape;
  wanted?: OutputOptions;
}

async function mapPixels(
  { workers, chunkPixelsMax }: ReferenceOptions,
  { equalization: plan }: ImagePlan,
  { spool, result, shape, ...wanted }: Spools,
): Promise<void> {
  if (plan === null) {
    await workers.run({ kind: 'clahe', spool, result });
    return;
  }
  const grid = planChunks(shape.width, shape.height, { chunkPixelsMax, chunksPerJobMax: referenceChunksMax });
  const rectangles = Array.from({ length: chunkCount(grid) }, (_, chunk) => rectangleOf(grid, chunk));
  const counted = await Promise.all(
    rectangles.map(async (rectangle) => workers.run({ kind: 'histogram', spool, shape, plan, rectangle })),
  );
  const merge = new HistogramMerge(
    plan,
    new Map(counted.map(({ pixels }, chunk) => [String(chunk), pixels])),
  );
  for (const [chunk, { counts }] of counted.entries())
    merge.put(String(chunk), decodeHistogram(plan, counts));
  const tables = encodeTables(lookupTablesOf(plan, merge.totals()));
  await workers.run({ kind: 'prepare', spool, result, channels: plan.outputChannels, ...wanted });
  await Promise.all(
    rectangles.map(async (rectangle) =>
      workers.run({ kind: 'apply', spool, shape, plan, tables, rectangle, result }),
    ),
  );
}
