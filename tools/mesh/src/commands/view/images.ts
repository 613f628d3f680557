/** Image jobs as readable text. */
import type { EqualizeDocument, ImageJob, JobsDocument } from '@thermomesh/contracts';
import { describeJob, describeParameters } from '../../workloads/images/progress.ts';
import { show, showMs, table } from './table.ts';
import { renderDurations } from './verdict.ts';

/** Renders what was done to one image. */
export function renderEqualized(document: EqualizeDocument): string {
  const { job, out, bytes, picture, uploadMs, jobMs, downloadMs } = document;
  const { image, fileName, parameters } = job;
  const size = image === null ? '' : ` (${image.widthPixels}×${image.heightPixels}, ${image.bitDepth} bit)`;
  return [
    `${fileName}${size} is equalized: ${describeParameters(parameters)}`,
    `saved as ${out} (${bytes} bytes)${picture === null ? '' : `; before and after: ${picture}`}`,
    `upload ${showMs(uploadMs)}, job ${showMs(jobMs)}, download ${showMs(downloadMs)}; job ${job.id}`,
  ].join('\n');
}

/** Renders the table of a caller's jobs. */
export function renderJobs(jobs: ImageJob[], colours: boolean): string {
  if (jobs.length === 0) return 'no jobs';
  const rows = jobs.map((job) => [
    job.id,
    // A file name is plain text: control characters must not reach the terminal.
    job.fileName.replaceAll(/\p{C}/gu, '?'),
    describeJob(job),
    describeParameters(job.parameters),
    job.submittedAt,
    show(job.reason),
  ]);
  return table(['job', 'file', 'state', 'asked for', 'submitted', 'reason'], rows, colours);
}

/** Renders the outcome of the job load of a series. */
export function renderJobLoad(jobs: JobsDocument): string {
  const { accepted, finished, failed, identical, addedMs, undisturbedMs, acceptMs, findings } = jobs;
  return [
    `jobs        accepted ${accepted}, finished ${finished}, failed ${failed}, ${identical ? 'all identical to the single-process result' : 'NOT IDENTICAL'}`,
    `undisturbed ${renderDurations(undisturbedMs ?? null)}`,
    `added time  ${renderDurations(addedMs ?? null)}`,
    `acceptance  ${renderDurations(acceptMs ?? null)}`,
    ...(findings ?? []).map(({ kind, job, detail }) => `${kind} ${show(job)}: ${detail}`),
  ].join('\n');
}
