/**
 * Cuts an image into chunks by pixels, never by the number of nodes: the same image and limits
 * always give the same chunks.
 */
import type { ChunkGrid, Rectangle } from '@thermomesh/contracts';

/** The limits of a plan. */
export interface PlanLimits {
  /**
   * Pixels of one chunk. A chunk consists of whole rows; a row that is longer than this is cut into
   * pieces.
   */
  chunkPixelsMax: number;
  /** Chunks of one image. An image that would need more chunks gets larger ones. */
  chunksPerJobMax: number;
}

/**
 * Plans the chunks of an image: strips of full rows, as long as one row fits into a chunk.
 * @throws RangeError if a side or a limit is not a positive integer
 */
export function planChunks(widthPixels: number, heightPixels: number, limits: PlanLimits): ChunkGrid {
  const { chunkPixelsMax, chunksPerJobMax } = limits;
  for (const value of [widthPixels, heightPixels, chunkPixelsMax, chunksPerJobMax]) {
    if (!Number.isSafeInteger(value) || value < 1) throw new RangeError(`${value} is not a positive integer`);
  }
  const columns = Math.min(Math.ceil(widthPixels / chunkPixelsMax), chunksPerJobMax);
  const chunkWidthPixels = Math.ceil(widthPixels / columns);
  const rowsMax = Math.floor(chunksPerJobMax / columns);
  const wanted = columns === 1 ? Math.floor(chunkPixelsMax / widthPixels) : 1;
  const needed = Math.ceil(heightPixels / rowsMax);
  const chunkHeightPixels = Math.min(heightPixels, Math.max(1, wanted, needed));
  return { widthPixels, heightPixels, chunkWidthPixels, chunkHeightPixels };
}

/** The number of chunks of the grid. */
export function chunkCount(grid: ChunkGrid): number {
  return columnsOf(grid) * Math.ceil(grid.heightPixels / grid.chunkHeightPixels);
}

/**
 * The rectangle of a chunk, in pixels.
 * @throws RangeError if there is no such chunk
 */
export function rectangleOf(grid: ChunkGrid, chunk: number): Rectangle {
  if (!Number.isSafeInteger(chunk) || chunk < 0 || chunk >= chunkCount(grid)) {
    throw new RangeError(`there is no chunk ${chunk}`);
  }
  const columns = columnsOf(grid);
  const left = (chunk % columns) * grid.chunkWidthPixels;
  const top = Math.floor(chunk / columns) * grid.chunkHeightPixels;
  return {
    left,
    top,
    width: Math.min(grid.chunkWidthPixels, grid.widthPixels - left),
    height: Math.min(grid.chunkHeightPixels, grid.heightPixels - top),
  };
}

function columnsOf(grid: ChunkGrid): number {
  return Math.ceil(grid.widthPixels / grid.chunkWidthPixels);
}
