/**
 * From an upload to an accepted job. Everything that the header of the image shows is checked
 * first; a refused upload leaves nothing behind.
 */
import { createHash, randomUUID } from 'node:crypto';
import { isDeepStrictEqual } from 'node:util';
import { isCustomerKey, type ImageJob } from '@thermomesh/contracts';
import type { HttpRequest } from '@thermomesh/runtime';
import { blobsOf, type JobView, type Submission } from '../core/jobs.ts';
import type { CreatedBlob } from '../core/ports.ts';
import {
  decodedShape,
  parametersOf,
  planImage,
  readRequest,
  type EqualizationRequest,
} from '../core/request.ts';
import { imageError, type ImageFacts } from '../image/index.ts';
import { readForm, type Form } from './form.ts';
import type { RouteDeps } from './deps.ts';
import { httpError } from './problems.ts';
import { discard, drain } from './streams.ts';
import { imageJobOf, queuedJobOf } from './view.ts';

export type SubmissionDeps = Pick<RouteDeps, 'jobs' | 'blobs' | 'workers' | 'limits' | 'uploads' | 'nowMs'>;

export interface Submitted {
  job: ImageJob;
  /** True if an earlier request with the same key created the job. */
  replayed: boolean;
}

/**
 * The id of the job of an Idempotency-Key: the same on every node, and different for every caller.
 */
export function jobIdOf(caller: string, key: string): string {
  const hash = createHash('sha256')
    .update(JSON.stringify(['equalizer job', caller, key]))
    .digest();
  // RFC 9562: version 8, variant 10.
  hash[6] = (hash[6]! & 0x0f) | 0x80;
  hash[8] = (hash[8]! & 0x3f) | 0x80;
  return hash.toString('hex', 0, 16).replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, '$1-$2-$3-$4-$5');
}

/**
 * Handles one submission.
 * @param signal aborts when the caller has disconnected: then no job is created
 * @throws HttpError; MeshError of the image, the request, the blob store or ZooKeeper
 */
export async function submit(
  deps: SubmissionDeps,
  request: HttpRequest,
  caller: string,
  signal: AbortSignal,
): Promise<Submitted> {
  const key = keyOf(request);
  const id = key === undefined ? randomUUID() : jobIdOf(caller, key);
  const existing = key === undefined ? undefined : await deps.jobs.read(id);
  if (existing === undefined) await checkRoom(deps, caller);
  const release = takeUploadSlot(deps, caller);
  try {
    return existing === undefined
      ? await create(deps, request, { id, caller, keyed: key !== undefined }, signal)
      : await replay(deps, request, existing);
  } catch (error) {
    // A caller reads the answer only once its bytes were accepted.
    drain(request.raw, deps.limits.drainBytesMax);
    throw error;
  } finally {
    release();
  }
}

/** Reads the whole request and compares it with the existing job; stores nothing. */
async function replay(deps: SubmissionDeps, request: HttpRequest, existing: JobView): Promise<Submitted> {
  const form = await readForm(request, {
    bytesMax: deps.limits.uploadBytesMax,
    beforeFile: (fields) => void readRequest(fields),
    store: async (source) => discard(source, deps.limits.uploadBytesMax),
  });
  checkSame(existing.submission, parametersOf(readRequest(form.fields)), form.file);
  return { job: imageJobOf(existing), replayed: true };
}

interface NewJob {
  id: string;
  caller: string;
  keyed: boolean;
}

async function create(
  deps: SubmissionDeps,
  request: HttpRequest,
  { id, caller, keyed }: NewJob,
  signal: AbortSignal,
): Promise<Submitted> {
  const { jobs, blobs, limits } = deps;
  // Two requests with one key may upload at the same time: each writes its own blob, and one of
  // them becomes the job's.
  const input = `${blobsOf(id).input}-${randomUUID()}`;
  let submission: Submission;
  try {
    const form = await readForm(request, {
      bytesMax: limits.uploadBytesMax,
      beforeFile: (fields) => void readRequest(fields),
      store: async (source) =>
        blobs.createFromStream(input, source, { bytesMax: limits.uploadBytesMax, signal }),
    });
    submission = await check(deps, { id, caller, input }, form, signal);
    signal.throwIfAborted();
  } catch (error) {
    await blobs.remove(input);
    throw error;
  }
  // From here on the upload may belong to a job even if no answer arrives; if it does not, the
  // janitor removes it.
  await jobs.accept(submission);
  const accepted = keyed ? await jobs.read(id) : undefined;
  if (accepted === undefined) return { job: queuedJobOf(submission), replayed: false };
  if (accepted.submission.input === input) return { job: imageJobOf(accepted), replayed: false };
  await blobs.remove(input);
  checkSame(accepted.submission, submission.parameters, { sha256: submission.sha256 ?? '' });
  return { job: imageJobOf(accepted), replayed: true };
}

/** Checks the image and the request against each other. */
async function check(
  { workers, blobs, limits, nowMs }: SubmissionDeps,
  { id, caller, input }: Pick<Submission, 'id' | 'caller' | 'input'>,
  form: Form,
  signal: AbortSignal,
): Promise<Submission> {
  const asked = readRequest(form.fields);
  const page = asked.page === undefined ? {} : { page: asked.page };
  const facts = await workers.run({ kind: 'identify', file: blobs.localPath(input), ...page }, signal);
  const { output } = planImage(facts, decodedShape(facts), asked, limits.wholeImagePixelsMax);
  checkLocal(facts, asked, limits.wholeImagePixelsMax);
  return {
    id,
    caller,
    input,
    parameters: parametersOf(asked),
    fileName: form.fileName,
    submittedAtMs: nowMs(),
    sha256: form.file.sha256,
    resultFormat: output.format,
  };
}

/** Refuses what `clahe` cannot do now, instead of after decoding. */
function checkLocal(
  { width, height, depth }: ImageFacts,
  { mode }: EqualizationRequest,
  pixelsMax: number,
): void {
  if (mode !== 'clahe') return;
  if (depth !== 8) throw imageError('image.unsupported_depth', 'clahe supports 8 bit only');
  if (width * height > pixelsMax)
    throw imageError('image.pixels_limit', `${width * height} pixels, clahe supports at most ${pixelsMax}`);
}

/** Compares a repeated request with the job of its key. @throws HttpError 422 */
function checkSame(
  { parameters, sha256 }: Submission,
  asked: Submission['parameters'],
  file: Pick<CreatedBlob, 'sha256'>,
): void {
  if (isDeepStrictEqual({ ...parameters }, { ...asked }) && (sha256 ?? file.sha256) === file.sha256) return;
  throw httpError(
    422,
    'jobs.other_request',
    'this Idempotency-Key was used with another image or other parameters',
  );
}

/** Refuses a job beyond the limits on open jobs. @throws HttpError 429, 503 */
async function checkRoom({ jobs, limits, uploads }: SubmissionDeps, caller: string): Promise<void> {
  const exactFrom = {
    all: limits.jobsOpenMax - uploads.size,
    ofCaller: limits.jobsPerCallerMax - uploads.of(caller),
  };
  const { all, ofCaller } = await jobs.countOpen(caller, exactFrom);
  const retry = { retryAfterSeconds: limits.retryAfterSeconds };
  if (ofCaller >= exactFrom.ofCaller)
    throw httpError(
      429,
      'jobs.too_many_of_caller',
      `${ofCaller} jobs of this API key are open, at most ${limits.jobsPerCallerMax}`,
      retry,
    );
  if (all >= exactFrom.all)
    throw httpError(503, 'jobs.too_many', `at most ${limits.jobsOpenMax} open jobs are accepted`, retry);
}

/** @returns the function that releases the slot @throws HttpError 429, 503 */
function takeUploadSlot({ uploads, limits }: SubmissionDeps, caller: string): () => void {
  const slot = uploads.take(caller);
  if (typeof slot === 'function') return slot;
  const retry = { retryAfterSeconds: limits.retryAfterSeconds };
  throw slot === 'caller'
    ? httpError(429, 'upload.too_many_of_caller', 'too many uploads of this API key are in flight', retry)
    : httpError(503, 'upload.too_many', 'too many uploads are in flight at this node', retry);
}

/** The Idempotency-Key of a request. @throws HttpError 400 */
function keyOf(request: HttpRequest): string | undefined {
  const header = request.headers['idempotency-key'];
  if (header === undefined) return undefined;
  if (typeof header === 'string' && isCustomerKey(header)) return header;
  throw httpError(400, 'jobs.bad_key', 'Idempotency-Key must be 1–128 visible ASCII characters', {
    param: 'idempotency-key',
    in: 'header',
  });
}
