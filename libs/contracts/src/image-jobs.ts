/**
 * Image jobs over HTTP: `POST /v1/jobs` and the routes below it, at every equalizer node and at the
 * gateway.
 */
import Type, { type Static } from 'typebox';
import { JobParameters } from './equalizer.ts';

/** The routes; `:id` is the job's. */
export const imageJobRoutes = {
  /**
   * `POST` (multipart: one `file`, the fields of the request) → 201 with the job and `Location`;
   * `GET` → {@link ImageJobs} of the caller.
   */
  jobs: '/v1/jobs',
  /**
   * `GET` → the job; `DELETE` requests its cancellation → 202 with the job, or 200 if it is over
   * already.
   */
  job: (id: string) => `/v1/jobs/${id}`,
  /**
   * `GET` → server-sent events: each `data` is an {@link ImageJob}, each `id` grows; the stream
   * ends after the final one.
   */
  events: (id: string) => `/v1/jobs/${id}/events`,
  /** `GET` → the image; 409 while there is none yet, 410 if there will be none. */
  result: (id: string) => `/v1/jobs/${id}/result`,
} as const;

export const imageJobPhases = [
  'queued',
  'decoding',
  'mapping',
  'reducing',
  'applying',
  'stitching',
  'finished',
  'failed',
  'cancelled',
] as const;

/** A job as its caller sees it. */
export const ImageJob = Type.Object({
  id: Type.String(),
  phase: Type.Enum(imageJobPhases),
  /** Finished chunks and all chunks of the present phase; null in phases without chunks. */
  progress: Type.Union([
    Type.Object({ done: Type.Integer({ minimum: 0 }), chunks: Type.Integer({ minimum: 0 }) }),
    Type.Null(),
  ]),
  /** The caller's name of the upload. */
  fileName: Type.String(),
  parameters: JobParameters,
  /** ISO 8601. */
  submittedAt: Type.String(),
  /** Size in pixels, once the image is decoded. */
  image: Type.Union([
    Type.Object({ widthPixels: Type.Integer(), heightPixels: Type.Integer(), bitDepth: Type.Integer() }),
    Type.Null(),
  ]),
  /** Why it failed. */
  reason: Type.Union([Type.String(), Type.Null()]),
  /** Path of the result at the same address, once finished. */
  result: Type.Union([Type.String(), Type.Null()]),
});
export type ImageJob = Static<typeof ImageJob>;

/** The caller's jobs, newest first. */
export const ImageJobs = Type.Object({ jobs: Type.Array(ImageJob) });
export type ImageJobs = Static<typeof ImageJobs>;

/**
 * Header in which the gateway names the caller of a request that it forwards. A node believes it
 * only with the gateway's own token.
 */
export const callerHeader = 'thermomesh-caller';

/** Returns whether a job in that phase is over. */
export function isFinalPhase(phase: ImageJob['phase']): phase is 'finished' | 'failed' | 'cancelled' {
  return phase === 'finished' || phase === 'failed' || phase === 'cancelled';
}
