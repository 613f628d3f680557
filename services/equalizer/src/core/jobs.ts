/**
 * Jobs as every node sees them, and the documents that hold them in ZooKeeper. A job is accepted when its znode exists, whoever
 * coordinates at that moment and also while nobody does (I5); the coordinator finds it there.
 */
import { JobMetadata, JobParameters, parseJson, type Parsed } from '@thermomesh/contracts';
import type { JobPhase } from '@thermomesh/mapreduce';
import Type, { type Static } from 'typebox';

/** What the accepting node writes (`parameters` are those of `request.ts`), once the upload is whole in the blob store. */
export const Submission = Type.Object({
  id: Type.String({ pattern: '^[0-9a-f-]{36}$' }),
  /** The id of the API key: who may see the job. */
  caller: Type.String({ minLength: 1, maxLength: 128 }),
  /** The upload's blob. */
  input: Type.String({ minLength: 1, maxLength: 512 }),
  parameters: JobParameters,
  /** As the caller named it; only text. */
  fileName: Type.String({ maxLength: 255 }),
  /** Unix ms. */
  submittedAtMs: Type.Integer({ minimum: 0 }),
  /** Of the upload, in hexadecimal digits: whether a repeated request brings the same image. */
  sha256: Type.Optional(Type.String({ pattern: '^[0-9a-f]{64}$' })),
  /** Of the result. */
  resultFormat: Type.Optional(Type.String({ maxLength: 16 })),
});
export type Submission = Static<typeof Submission>;

/** The content of `jobs/<id>`: a submission, to which the coordinator adds what it has decided since. */
export const JobDocument = Type.Object({
  submission: Submission,
  /** Null until a coordinator has seen it. */
  metadata: Type.Union([JobMetadata, Type.Null()]),
  /** Unix ms, of the coordinator that ended the job: from then on its retention counts, whoever coordinates. */
  endedAtMs: Type.Optional(Type.Integer({ minimum: 0 })),
});
export type JobDocument = Static<typeof JobDocument>;

/** The content of `progressOfJobs/<id>`: for watchers, never the truth about the job. */
export const JobProgress = Type.Object({
  phase: Type.String({ maxLength: 32 }),
  done: Type.Integer({ minimum: 0 }),
  chunks: Type.Integer({ minimum: 0 }),
});
export type JobProgress = Static<typeof JobProgress>;

/** A job at one moment. */
export interface JobView {
  readonly submission: Submission;
  /** `queued` until a coordinator has taken it up. */
  readonly phase: JobPhase;
  /** Chunks of the present phase that are in, and how many there are; null where there are none. */
  readonly progress: { readonly done: number; readonly chunks: number } | null;
  /** The blob of the equalized image, once finished. */
  readonly result: string | null;
  /** Why it failed. */
  readonly reason: string | null;
  readonly image: JobMetadata['image'];
  /** Changes with every change of the view, and only grows, compared as text: the id of an event (`core/job-view.ts`). */
  readonly version: string;
}

/** The port between HTTP and the job system. Every node has it. Its adapter is `adapters/zookeeper-jobs.ts`. */
export interface Jobs {
  /**
   * Makes the job durable: when this settles, it will end whatever dies. A known id changes nothing.
   * @throws MeshError `jobs.unavailable` (retriable; it may have been accepted all the same: `read` tells), `jobs.too_many` (retriable)
   */
  accept(submission: Submission): Promise<void>;
  /**
   * How many jobs are not over: of all, and of `caller`. Below both of `exactFrom` the answer is a bound, which may hold jobs that have
   * ended since they were read last: there is room in any case, and nothing more is read for it.
   */
  countOpen(caller: string, exactFrom: OpenJobs): Promise<OpenJobs>;
  /** Undefined if there is none, or none any more. */
  read(id: string): Promise<JobView | undefined>;
  /** All jobs of `caller` that are remembered, newest first. */
  list(caller: string): Promise<JobView[]>;
  /** Asks for the end of the job; it is over when its phase says so. Nothing happens to one that is over. */
  cancel(id: string): Promise<void>;
  /** The view now, then each later one that the caller is not too slow for; ends after a final phase, or when the job is forgotten. */
  follow(id: string, signal: AbortSignal): AsyncIterable<JobView>;
}

/** Jobs that are not over. */
export interface OpenJobs {
  readonly all: number;
  readonly ofCaller: number;
}

/** Whether nothing will happen to it any more. */
export function isOver(phase: JobPhase): boolean {
  return phase === 'finished' || phase === 'failed' || phase === 'cancelled';
}

/** Where the equalizer's znodes are, below its root. */
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

/** The blobs of a job: all below one prefix, which goes with the job. */
export const blobsOf = (id: string) => ({
  prefix: `jobs/${id}/`,
  input: `jobs/${id}/input`,
  spool: `jobs/${id}/spool`,
  resultSpool: `jobs/${id}/result-spool`,
  table: `jobs/${id}/table`,
  result: `jobs/${id}/result`,
});

/** Reads the content of a job's znode. Never throws. */
export function parseJobDocument(bytes: Uint8Array | null): Parsed<JobDocument> {
  return parseJson<JobDocument>(JobDocument, bytes);
}

/** Reads the progress of a job. Never throws. */
export function parseJobProgress(bytes: Uint8Array | null): Parsed<JobProgress> {
  return parseJson<JobProgress>(JobProgress, bytes);
}
