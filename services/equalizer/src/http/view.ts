/** Jobs as callers see them. */
import { imageJobRoutes, type ImageJob } from '@thermomesh/contracts';
import type { JobView, Submission } from '../core/jobs.ts';

/** The document of a job. */
export function imageJobOf(view: Omit<JobView, 'version'>): ImageJob {
  const { submission, phase, progress, reason, image } = view;
  return {
    id: submission.id,
    phase,
    progress,
    fileName: submission.fileName,
    parameters: submission.parameters,
    submittedAt: new Date(submission.submittedAtMs).toISOString(),
    image: image && {
      widthPixels: image.widthPixels,
      heightPixels: image.heightPixels,
      bitDepth: image.bitDepth,
    },
    reason,
    result: view.result === null ? null : imageJobRoutes.result(submission.id),
  };
}

/** The document of a job that was accepted just now. */
export function queuedJobOf(submission: Submission): ImageJob {
  const nothing = { progress: null, result: null, reason: null, image: null };
  return imageJobOf({ submission, phase: 'queued', ...nothing });
}
