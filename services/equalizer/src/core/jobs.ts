/**
 * Jobs as every node sees them, and their documents in ZooKeeper. A job is accepted when its znode
 * exists, whether or not a node coordinates at that moment (I5); the coordinator finds it there.
 */
import { JobMetadata, JobParameters, parseJson, type Parsed } from '@thermomesh/contracts';
import type { JobPhase } from '@thermomesh/mapreduce';
import Type, { type Static } from 'typebox';

/**
 * The document that the accepting node writes once the upload is complete in the blob store.
 * `parameters` are those of `request.ts`.
 */
export const Submission = Type.Object({
  id: Type.String({ pattern: '^[0-9a-f-]{36}$' }),
  /** The id of the API key that owns the job. */
  caller: Type.String({ minLength: 1, maxLength: 128 }),
  /** The key of the upload's blob. */
  input: Type.String({ minLength: 1, maxLength: 512 }),
  parameters: JobParameters,
  /** The name that the caller sent; only text. */
  fileName: Type.String({ maxLength: 255 }),
  /** Unix ms. */
  submittedAtMs: Type.Integer({ minimum: 0 }),
  /**
   * Hash of the upload in hexadecimal digits; shows whether a repeated request sends the same
   * image.
   */
  sha256: Type.Optional(Type.String({ pattern: '^[0-9a-f]{64}$' })),
  /** Image format of the result. */
  resultFormat: Type.Optional(Type.String({ maxLength: 16 })),
});
export type Submission = Static<typeof Submission>;

/** The content of `jobs/<id>`: a submission, to which the coordinator adds its decisions. */
export const JobDocument = Type.Object({
  submission: Submission,
  /** Null until a coordinator has seen it. */
  metadata: Type.Union([JobMetadata, Type.Null()]),
  /**
   * When the job ended, in Unix ms by the clock of the coordinator at that time. The retention
   * starts then.
   */
  endedAtMs: Type.Optional(Type.Integer({ minimum: 0 })),
});
export type JobDocument = Static<typeof JobDocument>;

/** The content of `progressOfJobs/<id>`: a hint for watchers; the job's document decides. */
export const JobProgress = Type.Object({
  phase: Type.String({ maxLength: 32 }),
  done: Type.Integer({ minimum: 0 }),
  chunks: Type.Integer({ minimum: 0 }),
});
export type JobProgress = Static<typeof JobProgress>;

/** A job at one moment. */
export interface JobView {
  readonly submission: Submission;
  /** `queued` until a coordinator has taken the job up. */
  readonly phase: JobPhase;
  /** Finished chunks of the present phase, and all chunks; null if the phase has none. */
  readonly progress: { readonly done: number; readonly chunks: number } | null;
  /** The key of the equalized image; null until the job is finished. */
  readonly result: string | null;
  /** Why the job failed; null if it did not. */
  readonly reason: string | null;
  readonly image: JobMetadata['image'];
  /**
   * Changes with every change of the view and only grows, compared as text. Used as the id of
   * events (`core/job-view.ts`).
   */
  readonly version: string;
}

/** Whether the phase is final. */
export function isOver(phase: JobPhase): boolean {
  return phase === 'finished' || phase === 'failed' || phase === 'cancelled';
}

/** Paths of the equalizer's znodes below its root. */
export const nodesOf = (root: string) => ({
  coordinator: `${root}/coordinator`,
  partitions: `${root}/partitions`,
  partitionProgress: (partition: number) => `${root}/progress/${partition}`,
  members: `${root}/members`,
  config: `${root}/config`,
  jobs: `${root}/jobs`,
  job: (id: string) => `${root}/jobs/${id}`,
  jobProgress: (id: string) => `${root}/progressOfJobs/${id}`,
  progressOfJobs: `${root}/progressOfJobs`,
  cancellations: `${root}/cancellations`,
  cancellation: (id: string) => `${root}/cancellations/${id}`,
});

/** Keys of the blobs of a job. All are below one prefix, which is removed with the job. */
export const blobsOf = (id: string) => ({
  prefix: `jobs/${id}/`,
  input: `jobs/${id}/input`,
  spool: `jobs/${id}/spool`,
  resultSpool: `jobs/${id}/result-spool`,
  table: `jobs/${id}/table`,
  result: `jobs/${id}/result`,
});

/** Parses the content of a job's znode. Never throws. */
export function parseJobDocument(bytes: Uint8Array | null): Parsed<JobDocument> {
  return parseJson<JobDocument>(JobDocument, bytes);
}

/** Parses the progress of a job. Never throws. */
export function parseJobProgress(bytes: Uint8Array | null): Parsed<JobProgress> {
  return parseJson<JobProgress>(JobProgress, bytes);
}
