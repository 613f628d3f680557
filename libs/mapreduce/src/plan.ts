/** Cutting an image into chunks by pixels, never by the number of nodes: the same image and limits give the same chunks. */
import type { ChunkGrid, Rectangle } from '@thermomesh/contracts';

export interface PlanLimits {
  /** Pixels of one chunk. A chunk is whole rows; a row that is longer than this is cut into pieces. */
  chunkPixelsMax: number;
  /** Chunks of one image. An image that would need more gets larger ones. */
  chunksPerJobMax: number;
}

/**
 * Plans the chunks of an image: strips of full rows as long as one row fits into a chunk.
 * @throws RangeError if a side or a limit is no positive integer
 */
export function planChunks(widthPixels: number, heightPixels: number, limits: PlanLimits): ChunkGrid {
  const { chunkPixelsMax, chunksPerJobMax } = limits;
  for (const value of [widthPixels, heightPixels, chunkPixelsMax, chunksPerJobMax]) {
    if (!Number.isSafeInteger(value) || value < 1) throw new RangeError(`${value} is no positive integer`);
  }
  const columns = Math.min(Math.ceil(widthPixels / chunkPixelsMax), chunksPerJobMax);
  const chunkWidthPixels = Math.ceil(widthPixels / columns);
  const rowsMax = Math.floor(chunksPerJobMax / columns);
  const wanted = columns === 1 ? Math.floor(chunkPixelsMax / widthPixels) : 1;
  const needed = Math.ceil(heightPixels / rowsMax);
  const chunkHeightPixels = Math.min(heightPixels, Math.max(1, wanted, needed));
  return { widthPixels, heightPixels, chunkWidthPixels, chunkHeightPixels };
}

/** How many chunks the grid has. */
export function chunkCount(grid: ChunkGrid): number {
  return columnsOf(grid) * Math.ceil(grid.heightPixels / grid.chunkHeightPixels);
}

/** Where chunk `chunk` lies. @throws RangeError if there is no such chunk */
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
