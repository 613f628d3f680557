/**
 * `chunk_pixels`, the size of chunks: published in ZooKeeper for all nodes, and checked before it
 * is used.
 */
import { documentIssues } from '@thermomesh/contracts';
import Type, { type Static } from 'typebox';

/**
 * Even a chunk of one pixel works: the number of chunks of a job is bounded, so its chunks become
 * larger.
 */
export const chunkPixelsBounds = { minimum: 1, maximum: 100_000_000 };

/** The document that is published. */
export const ChunkConfig = Type.Object(
  { chunk_pixels: Type.Integer(chunkPixelsBounds) },
  { additionalProperties: false },
);
export type ChunkConfig = Static<typeof ChunkConfig>;

/** Parses a published document. @throws Error that lists its issues */
export function parseChunkConfig(value: unknown): ChunkConfig {
  const issues = documentIssues(ChunkConfig, value);
  if (issues.length > 0) throw new Error(issues.join('; '));
  return value as ChunkConfig;
}
