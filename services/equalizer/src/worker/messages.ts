/** The tasks of image workers and their results: plain messages, nothing else crosses between threads. */
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

/** Looks at a file; decodes nothing. */
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

/** Makes the empty file that a job's result goes into; `wanted` only if `spool` is the upload itself: see `createResult`. */
export interface PrepareTask {
  kind: 'prepare';
  spool: string;
  result: string;
  channels: SpoolShape['channels'];
  wanted?: OutputOptions;
}

/** Counts a rectangle. */
export interface HistogramTask {
  kind: 'histogram';
  spool: string;
  shape: SpoolShape;
  plan: EqualizationPlan;
  rectangle: Rectangle;
}

/** Maps a rectangle. */
export interface ApplyTask {
  kind: 'apply';
  spool: string;
  shape: SpoolShape;
  plan: EqualizationPlan;
  /** As `encodeTables` makes them. */
  tables: Uint8Array;
  rectangle: Rectangle;
  /** Made by a `prepare` task. */
  result: string;
}

/** Equalizes a whole spool locally into a new one: the extra beside the exact definitions. */
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
  /** `counts` as `encodeHistogram` makes them. */
  histogram: { pixels: number; counts: Uint8Array };
  apply: { bytes: number };
  clahe: SpoolShape;
  encode: { bytes: number };
}
export type ResultOf<T extends ImageTask> = ImageResults[T['kind']];

/** What a thread is told when it starts. */
export interface ThreadSettings {
  limits: ImageLimits;
}

/** An error that crosses between threads. */
export interface Failure {
  code: string;
  message: string;
  retriable: boolean;
}

export type Answer = { result: unknown } | { failure: Failure };
