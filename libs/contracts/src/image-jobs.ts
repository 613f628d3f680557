/** Image jobs over HTTP: `POST /v1/jobs` and what is below it, at every equalizer node and at the gateway. */
import Type, { type Static } from 'typebox';
import { JobParameters } from './equalizer.ts';

/** The routes; `:id` is the job's. */
export const imageJobRoutes = {
  /** `POST` (multipart: one `file`, the fields of the request) → 201 with the job and `Location`; `GET` → {@link ImageJobs} of the caller. */
  jobs: '/v1/jobs',
  /** `GET` → the job; `DELETE` asks for its end → 202 with the job, or 200 if it is over already. */
  job: (id: string) => `/v1/jobs/${id}`,
  /** `GET` → server-sent events: each `data` is an {@link ImageJob}, each `id` grows; the stream ends after the final one. */
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
  /** Chunks of the present phase that are in, and how many there are; null in phases without chunks. */
  progress: Type.Union([
    Type.Object({ done: Type.Integer({ minimum: 0 }), chunks: Type.Integer({ minimum: 0 }) }),
    Type.Null(),
  ]),
  /** As the caller named the upload. */
  fileName: Type.String(),
  parameters: JobParameters,
  /** ISO 8601. */
  submittedAt: Type.String(),
  /** In pixels, once the image is decoded. */
  image: Type.Union([
    Type.Object({ widthPixels: Type.Integer(), heightPixels: Type.Integer(), bitDepth: Type.Integer() }),
    Type.Null(),
  ]),
  /** Why it failed. */
  reason: Type.Union([Type.String(), Type.Null()]),
  /** Where the result is, once finished: a path at the same address. */
  result: Type.Union([Type.String(), Type.Null()]),
});
export type ImageJob = Static<typeof ImageJob>;

/** Newest first. */
export const ImageJobs = Type.Object({ jobs: Type.Array(ImageJob) });
export type ImageJobs = Static<typeof ImageJobs>;

/** Says whose request it is when the gateway passes it on; believed from the gateway's own token alone. */
export const callerHeader = 'thermomesh-caller';

/** Whether nothing will happen to a job in that phase any more. */
export function isFinalPhase(phase: ImageJob['phase']): phase is 'finished' | 'failed' | 'cancelled' {
  return phase === 'finished' || phase === 'failed' || phase === 'cancelled';
}
