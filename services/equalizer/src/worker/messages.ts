/** The tasks of image workers and their results: the only messages between threads. */
import type { EqualizationPlan } from '@thermomesh/equalization';
import type {
  ClaheOptions,
  Decoded,
  ImageFacts,
  ImageLimits,
  OutputOptions,
  Rectangle,
  SpoolShape,
} from '../image/index.ts';

/** Reads the header of a file; decodes nothing. */
export interface IdentifyTask {
  kind: 'identify';
  file: string;
  page?: number;
}

/** Decodes a page into a spool. */
export interface DecodeTask {
  kind: 'decode';
  file: string;
  spool: string;
  page?: number;
}

/**
 * Creates the empty file that a job's result is written into. `wanted` is set only if `spool` is
 * the upload itself (see `createResult`).
 */
export interface PrepareTask {
  kind: 'prepare';
  spool: string;
  result: string;
  channels: SpoolShape['channels'];
  wanted?: OutputOptions;
}

/** Counts the pixels of a rectangle. */
export interface HistogramTask {
  kind: 'histogram';
  spool: string;
  shape: SpoolShape;
  plan: EqualizationPlan;
  rectangle: Rectangle;
}

/** Maps the pixels of a rectangle. */
export interface ApplyTask {
  kind: 'apply';
  spool: string;
  shape: SpoolShape;
  plan: EqualizationPlan;
  /** Lookup tables in the format of `encodeTables`. */
  tables: Uint8Array;
  rectangle: Rectangle;
  /** The file that a `prepare` task has created. */
  result: string;
}

/** Equalizes a whole spool locally into a new one; not one of the exact definitions. */
export interface ClaheTask {
  kind: 'clahe';
  spool: string;
  result: string;
  options?: ClaheOptions;
}

/** Writes a spool as an image file. */
export interface EncodeTask {
  kind: 'encode';
  spool: string;
  file: string;
  output: OutputOptions;
}

export type ImageTask =
  IdentifyTask | DecodeTask | PrepareTask | HistogramTask | ApplyTask | ClaheTask | EncodeTask;

export interface ImageResults {
  identify: ImageFacts;
  decode: Decoded;
  prepare: SpoolShape;
  /** `counts` are in the format of `encodeHistogram`. */
  histogram: { pixels: number; counts: Uint8Array };
  apply: { bytes: number };
  clahe: SpoolShape;
  encode: { bytes: number };
}
export type ResultOf<T extends ImageTask> = ImageResults[T['kind']];

/** The settings that a thread receives when it starts. */
export interface ThreadSettings {
  limits: ImageLimits;
}

/** An error as a message between threads. */
export interface Failure {
  code: string;
  message: string;
  retriable: boolean;
}

export type Answer = { result: unknown } | { failure: Failure };
