/** Every error code that this service raises, apart from those of images (`image/errors.ts`). */
import { defineErrors, MeshError } from '@thermomesh/runtime';

export const { codes: errorCodes, error: equalizerError } = defineErrors({
  'access.no_caller': { retriable: false },
  'blob.bad_key': { retriable: false },
  'blob.io': { retriable: true },
  'blob.no_space': { retriable: true },
  'blob.not_found': { retriable: false },
  'blob.too_large': { retriable: false },
  'equalizer.deposed': { retriable: false },
  'equalizer.no_table': { retriable: false },
  'equalizer.upload_lost': { retriable: false },
  'events.too_many': { retriable: false },
  'events.too_many_of_caller': { retriable: false },
  'jobs.bad_key': { retriable: false },
  'jobs.damaged': { retriable: false },
  'jobs.no_result': { retriable: false },
  'jobs.not_finished': { retriable: false },
  'jobs.other_request': { retriable: false },
  'jobs.result_gone': { retriable: false },
  'jobs.too_many': { retriable: false },
  'jobs.too_many_of_caller': { retriable: false },
  'jobs.unavailable': { retriable: true },
  'jobs.unknown': { retriable: false },
  'request.invalid': { retriable: false },
  'upload.cut': { retriable: false },
  'upload.malformed': { retriable: false },
  'upload.no_file': { retriable: false },
  'upload.not_multipart': { retriable: false },
  'upload.too_many': { retriable: false },
  'upload.too_many_of_caller': { retriable: false },
  'upload.too_many_parts': { retriable: false },
  'upload.two_files': { retriable: false },
  'upload.unknown_file': { retriable: false },
  usage: { retriable: false },
  'worker.cancelled': { retriable: false },
  'worker.closed': { retriable: false },
  'worker.crashed': { retriable: true },
  'worker.failed': { retriable: 'depends' },
  'worker.queue_full': { retriable: true },
  'worker.timed_out': { retriable: false },
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
