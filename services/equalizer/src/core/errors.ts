/** Every error code that this service raises, apart from those of images (`image/errors.ts`). */
import { defineErrors, MeshError } from '@thermomesh/runtime';

export const { codes: errorCodes, error: equalizerError } = defineErrors({
  'access.no_caller': { retriable: false, http: 400 },
  'blob.bad_key': { retriable: false },
  'blob.io': { retriable: true, http: 503 },
  'blob.no_space': { retriable: true, http: 503 },
  'blob.not_found': { retriable: false },
  'blob.too_large': { retriable: false },
  'equalizer.deposed': { retriable: false },
  'equalizer.no_table': { retriable: false },
  'equalizer.upload_lost': { retriable: false },
  'events.too_many': { retriable: false, http: 503 },
  'events.too_many_of_caller': { retriable: false, http: 429 },
  'jobs.bad_key': { retriable: false, http: 400 },
  'jobs.damaged': { retriable: false },
  'jobs.no_result': { retriable: false, http: 410 },
  'jobs.not_finished': { retriable: false, http: 409 },
  'jobs.other_request': { retriable: false, http: 422 },
  'jobs.result_gone': { retriable: false, http: 410 },
  'jobs.too_many': { retriable: false, http: 503 },
  'jobs.too_many_of_caller': { retriable: false, http: 429 },
  'jobs.unavailable': { retriable: true, http: 503 },
  'jobs.unknown': { retriable: false, http: 404 },
  'request.invalid': { retriable: false, http: 400 },
  'upload.cut': { retriable: false, http: 400 },
  'upload.malformed': { retriable: false, http: 400 },
  'upload.no_file': { retriable: false, http: 400 },
  'upload.not_multipart': { retriable: false, http: 415 },
  'upload.too_many': { retriable: false, http: 503 },
  'upload.too_many_of_caller': { retriable: false, http: 429 },
  'upload.too_many_parts': { retriable: false, http: 413 },
  'upload.two_files': { retriable: false, http: 400 },
  'upload.unknown_file': { retriable: false, http: 400 },
  usage: { retriable: false },
  'worker.cancelled': { retriable: false },
  'worker.closed': { retriable: false, http: 503 },
  'worker.crashed': { retriable: true, http: 503 },
  'worker.failed': { retriable: 'depends' },
  'worker.queue_full': { retriable: true, http: 503 },
  'worker.timed_out': { retriable: false, http: 422 },
});

export type EqualizerErrorCode = keyof typeof errorCodes;

/**
 * The fence refused a write, or the lease is over: another node may act by now. Nothing was
 * written.
 */
export class DeposedError extends MeshError {
  constructor({ path, epoch }: { path: string; epoch: bigint }, cause?: unknown) {
    const code: EqualizerErrorCode = 'equalizer.deposed';
    super(code, `the seat ${path} of epoch ${epoch} is gone`, { cause });
    this.name = 'DeposedError';
  }
}
