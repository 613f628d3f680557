/** `chunk_pixels`: how large chunks are, published in ZooKeeper for all nodes, checked before it counts. */
import { documentFaults } from '@thermomesh/contracts';
import Type, { type Static } from 'typebox';

/** A chunk of one pixel still ends; a job then has as many chunks as it may have, and larger ones. */
export const chunkPixelsBounds = { minimum: 1, maximum: 100_000_000 };

/** The document of `DynamicConfig`. */
export const ChunkConfig = Type.Object(
  { chunk_pixels: Type.Integer(chunkPixelsBounds) },
  { additionalProperties: false },
);
export type ChunkConfig = Static<typeof ChunkConfig>;

/** @throws Error that says what is wrong with it */
export function parseChunkConfig(value: unknown): ChunkConfig {
  const faults = documentFaults(ChunkConfig, value);
  if (faults.length > 0) throw new Error(faults.join('; '));
  return value as ChunkConfig;
}
