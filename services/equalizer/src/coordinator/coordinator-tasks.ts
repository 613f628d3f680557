/** The tasks of a job that the coordinator does in its own threads: decode, reduce, stitch. */
import type { ChunkGrid, JobMetadata, SpooledImage, TaskOutput } from '@thermomesh/contracts';
import {
  decodeHistogram,
  encodeTables,
  HistogramMerge,
  lookupTablesOf,
  type EqualizationPlan,
  type Histogram,
  type Totals,
} from '@thermomesh/equalization';
import { chunkCount, rectangleOf } from '@thermomesh/mapreduce';
import type { CrashHook } from '@thermomesh/runtime';
import { equalizerError } from '../core/errors.ts';
import type { BlobStore } from '../core/ports.ts';
import { chunkPixelsOf, decodedShape, planImage, readRequest, staysInPlace } from '../core/request.ts';
import { coordinatorBlobs, pixelWork, resultSpoolOf } from '../core/work.ts';
import {
  imageError,
  type ImageFacts,
  type ImageLimits,
  type OutputOptions,
  type SpoolShape,
} from '../image/index.ts';
import type { ImageWorkers } from '../worker/index.ts';

export interface CoordinatorTasksOptions {
  blobs: BlobStore;
  workers: ImageWorkers;
  limits: ImageLimits;
  /** Pixels of one chunk, as currently configured. */
  chunkPixelsMax: () => number;
  crash: CrashHook;
}

export interface DecodedImage {
  image: SpooledImage;
  chunkPixelsMax: number;
}

/** All methods throw the errors of the image workers, the image code and the blob store. */
export interface CoordinatorTasks {
  /** Checks the upload, decodes it into a spool if necessary, and decides the size of chunks. */
  decode(job: JobMetadata, epoch: number, signal: AbortSignal): Promise<DecodedImage>;
  /** Sums the histograms, and creates the table and the empty result. @returns the table's key */
  reduce(
    job: JobMetadata,
    outputs: readonly TaskOutput[],
    epoch: number,
    signal: AbortSignal,
  ): Promise<string>;
  /** Encodes the result. @returns the key of the image */
  stitch(job: JobMetadata, epoch: number, signal: AbortSignal): Promise<string>;
}

/** Histograms that are in memory at once; each has 768 KiB at 16 bit and three planes. */
const histogramsAtOnce = 32;

export function createCoordinatorTasks(options: CoordinatorTasksOptions): CoordinatorTasks {
  const { blobs, workers, limits, chunkPixelsMax, crash } = options;
  const uploads = createUploads(options);

  /** Creates the empty file that the chunks are written into. */
  async function prepareResult(
    job: JobMetadata,
    plan: EqualizationPlan | null,
    key: string,
    signal: AbortSignal,
  ): Promise<void> {
    const { image } = decoded(job);
    const spool = blobs.localPath(image.key);
    const wanted = image.key === job.input ? { wanted: await uploads.outputOf(job, signal) } : {};
    const make = async (result: string): Promise<unknown> =>
      plan === null
        ? workers.run({ kind: 'clahe', spool, result }, signal)
        : workers.run({ kind: 'prepare', spool, result, channels: plan.outputChannels, ...wanted }, signal);
    await blobs.write(key, make, { durable: false });
  }

  return {
    async decode(job, epoch, signal) {
      const request = readRequest(job.parameters);
      const facts = await uploads.factsOf(job, signal);
      const planned = planImage(facts, decodedShape(facts), request, limits.wholeImagePixelsMax);
      if (planned.equalization === null) checkLocal(facts, limits);
      const inPlace = staysInPlace(facts, planned);
      const key = inPlace ? job.input : coordinatorBlobs(job.id, epoch).spool;
      const shape = inPlace ? decodedShape(facts) : await uploads.decodeInto(key, job, signal);
      const { width: widthPixels, height: heightPixels, channels, depth: bitDepth } = shape;
      const image = { key, widthPixels, heightPixels, channels, bitDepth };
      // An image that cannot be cut passes through both phases as one chunk.
      const whole = widthPixels * heightPixels;
      const cut = planned.equalization !== null;
      return { image, chunkPixelsMax: cut ? chunkPixelsOf(facts, planned, chunkPixelsMax()) : whole };
    },

    async reduce(job, outputs, epoch, signal) {
      const { image, grid } = decoded(job);
      const { plan } = pixelWork(job.parameters, image);
      const { table } = coordinatorBlobs(job.id, epoch);
      const [totals] = await Promise.all([
        plan === null ? null : totalsOf(blobs, plan, grid, outputs, signal),
        prepareResult(job, plan, resultSpoolOf(table), signal),
      ]);
      const tables =
        plan === null || totals === null ? new Uint8Array() : encodeTables(lookupTablesOf(plan, totals));
      await blobs.put(table, tables);
      return table;
    },

    async stitch(job, epoch, signal) {
      if (job.table === null) throw new Error(`job ${job.id} has no table`);
      const spool = blobs.localPath(resultSpoolOf(job.table));
      const output = await uploads.outputOf(job, signal);
      const { result } = coordinatorBlobs(job.id, epoch);
      await blobs.write(result, async (file) => workers.run({ kind: 'encode', spool, file, output }, signal));
      crash('equalizer.before-stitched');
      return result;
    },
  };
}

/** Reads and decodes the uploads of jobs. */
function createUploads({ blobs, workers, limits }: CoordinatorTasksOptions) {
  function taskOf(job: JobMetadata): { file: string; page?: number } {
    const { page } = readRequest(job.parameters);
    return { file: blobs.localPath(job.input), ...(page === undefined ? {} : { page }) };
  }

  async function factsOf(job: JobMetadata, signal: AbortSignal): Promise<ImageFacts> {
    if (!(await blobs.exists(job.input)))
      throw equalizerError('equalizer.upload_lost', 'the uploaded file no longer exists');
    return workers.run({ kind: 'identify', ...taskOf(job) }, signal);
  }

  return {
    factsOf,
    async outputOf(job: JobMetadata, signal: AbortSignal): Promise<OutputOptions> {
      const facts = await factsOf(job, signal);
      const request = readRequest(job.parameters);
      return planImage(facts, decodedShape(facts), request, limits.wholeImagePixelsMax).output;
    },
    async decodeInto(key: string, job: JobMetadata, signal: AbortSignal): Promise<SpoolShape> {
      const make = async (spool: string) => workers.run({ kind: 'decode', spool, ...taskOf(job) }, signal);
      return (await blobs.write(key, make, { durable: false })).shape;
    },
  };
}

/** Refuses what `clahe` would refuse, before any pixel is decoded. */
function checkLocal(facts: ImageFacts, limits: ImageLimits): void {
  if (facts.depth !== 8)
    throw imageError('image.unsupported_depth', 'local equalization supports 8 bit only');
  const pixels = facts.width * facts.height;
  if (pixels > limits.wholeImagePixelsMax)
    throw imageError(
      'image.pixels_limit',
      `${pixels} pixels, at most ${limits.wholeImagePixelsMax} can be equalized locally`,
    );
}

function decoded({ id, image, grid }: JobMetadata): { image: SpooledImage; grid: ChunkGrid } {
  if (image === null || grid === null) throw new Error(`job ${id} has no decoded image`);
  return { image, grid };
}

/**
 * The sum of all histograms (I4).
 * @param outputs one for each chunk, in the order of chunk ids. They are added a few at a time: all
 *   histograms of a large 16-bit image would fill the memory, and adding them without a pause would
 *   block the event loop
 */
async function totalsOf(
  blobs: BlobStore,
  plan: EqualizationPlan,
  grid: ChunkGrid,
  outputs: readonly TaskOutput[],
  signal: AbortSignal,
): Promise<Totals> {
  if (outputs.length !== chunkCount(grid)) throw new Error('a chunk has no histogram');
  const sum = { pixels: 0, counts: new Float64Array(plan.planes * plan.bins) };
  for (let from = 0; from < outputs.length; from += histogramsAtOnce) {
    signal.throwIfAborted();
    const some = outputs.slice(from, from + histogramsAtOnce);
    const merge = new HistogramMerge(
      plan,
      new Map(some.map((_, index) => [String(from + index), pixelsOf(grid, from + index)])),
    );
    for (const [index, output] of some.entries())
      merge.put(String(from + index), await histogramOf(blobs, plan, output, pixelsOf(grid, from + index)));
    const part = merge.totals();
    sum.pixels += part.pixels;
    for (let bin = 0; bin < sum.counts.length; bin++) sum.counts[bin]! += part.counts[bin]!;
    await new Promise(setImmediate);
  }
  return sum;
}

function pixelsOf(grid: ChunkGrid, chunk: number): number {
  const { width, height } = rectangleOf(grid, chunk);
  return width * height;
}

async function histogramOf(
  blobs: BlobStore,
  plan: EqualizationPlan,
  output: TaskOutput,
  pixels: number,
): Promise<Histogram> {
  if (output.kind === 'counts') return { pixels, counts: Uint32Array.from(output.channels.flat()) };
  return decodeHistogram(plan, await blobs.read(output.key));
}
