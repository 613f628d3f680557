/** From an upload to an accepted job: everything that can be known to be wrong is said before, and then nothing is left behind. */
import { createHash, randomUUID } from 'node:crypto';
import { isDeepStrictEqual } from 'node:util';
import { isCustomerKey, type ImageJob } from '@thermomesh/contracts';
import { HttpError, type HttpRequest, type Log } from '@thermomesh/runtime';
import type { BlobStore, CreatedBlob } from '../core/blob-store.ts';
import { blobsOf, type Jobs, type JobView, type Submission } from '../core/jobs.ts';
import {
  decodedShape,
  parametersOf,
  planImage,
  readRequest,
  type EqualizationRequest,
} from '../core/request.ts';
import type { ImageFacts } from '../image/index.ts';
import { imageFault } from '../image/faults.ts';
import type { ImageWorkers } from '../worker/index.ts';
import { readForm, type Form } from './form.ts';
import { discard, drain } from './streams.ts';
import type { HttpLimits } from './limits.ts';
import { imageJobOf, queued } from './view.ts';
import type { Slots } from './slots.ts';

export interface SubmissionDeps {
  jobs: Jobs;
  blobs: Pick<BlobStore, 'createFromStream' | 'remove' | 'localPath'>;
  workers: Pick<ImageWorkers, 'run'>;
  limits: HttpLimits;
  uploads: Slots;
  log: Log;
  nowMs: () => number;
}

export interface Submitted {
  job: ImageJob;
  /** The key was used before, for the same. */
  replayed: boolean;
}

/** The job of a caller's key: the same on every node, and another one for every other caller. */
export function jobIdOf(caller: string, key: string): string {
  const hash = createHash('sha256')
    .update(JSON.stringify(['equalizer job', caller, key]))
    .digest();
  // RFC 9562: version 8, variant 10.
  hash[6] = (hash[6]! & 0x0f) | 0x80;
  hash[8] = (hash[8]! & 0x3f) | 0x80;
  return hash.toString('hex', 0, 16).replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, '$1-$2-$3-$4-$5');
}

/** Takes one upload. @param signal aborted when the caller has gone: then there is no job either */
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
  const leave = enter(deps, caller);
  try {
    return existing === undefined
      ? await take(deps, request, { id, caller, keyed: key !== undefined }, signal)
      : await replay(deps, request, existing);
  } catch (error) {
    // The answer is heard only by a caller whose bytes are taken.
    drain(request.raw, deps.limits.drainBytesMax);
    throw error;
  } finally {
    leave();
  }
}

/** Reads the whole request and compares it; stores nothing. */
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

async function take(
  deps: SubmissionDeps,
  request: HttpRequest,
  { id, caller, keyed }: NewJob,
  signal: AbortSignal,
): Promise<Submitted> {
  const { jobs, blobs, limits } = deps;
  // Two requests under one key may upload at the same time: each has a blob of its own, and one of them becomes the job's.
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
  // From here on the upload may be a job's, even if no answer comes: if it is none, the janitor finds it.
  await jobs.accept(submission);
  const accepted = keyed ? await jobs.read(id) : undefined;
  if (accepted === undefined) return { job: queued(submission), replayed: false };
  if (accepted.submission.input === input) return { job: imageJobOf(accepted), replayed: false };
  await blobs.remove(input);
  checkSame(accepted.submission, submission.parameters, { sha256: submission.sha256 ?? '' });
  return { job: imageJobOf(accepted), replayed: true };
}

/** Looks at the image and at what is asked of it. */
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
    ...{ id, caller, input },
    parameters: parametersOf(asked),
    fileName: form.fileName,
    submittedAtMs: nowMs(),
    sha256: form.file.sha256,
    resultFormat: output.format,
  };
}

/** What the local mode does not have: nobody shall hear of it only when the image is decoded. */
function checkLocal(
  { width, height, depth }: ImageFacts,
  { mode }: EqualizationRequest,
  pixelsMax: number,
): void {
  if (mode !== 'clahe') return;
  if (depth !== 8) throw imageFault('image.unsupported_depth', 'clahe is for 8 bit alone');
  if (width * height > pixelsMax)
    throw imageFault('image.pixels_limit', `${width * height} pixels, clahe takes at most ${pixelsMax}`);
}

/** @throws HttpError 422 */
function checkSame(
  { parameters, sha256 }: Submission,
  asked: Submission['parameters'],
  file: Pick<CreatedBlob, 'sha256'>,
): void {
  if (isDeepStrictEqual({ ...parameters }, { ...asked }) && (sha256 ?? file.sha256) === file.sha256) return;
  throw new HttpError(
    422,
    'jobs.other_request',
    'this Idempotency-Key was used with another image or other parameters',
  );
}

/** @throws HttpError 429, 503 */
async function checkRoom({ jobs, limits, uploads }: SubmissionDeps, caller: string): Promise<void> {
  const exactFrom = {
    all: limits.jobsOpenMax - uploads.size,
    ofCaller: limits.jobsPerCallerMax - uploads.of(caller),
  };
  const { all, ofCaller } = await jobs.countOpen(caller, exactFrom);
  const retry = { retryAfterSeconds: limits.retryAfterSeconds };
  if (ofCaller >= exactFrom.ofCaller)
    throw new HttpError(
      429,
      'jobs.too_many_of_caller',
      `${ofCaller} jobs of this API key are not over, at most ${limits.jobsPerCallerMax}`,
      retry,
    );
  if (all >= exactFrom.all)
    throw new HttpError(
      503,
      'jobs.too_many',
      `at most ${limits.jobsOpenMax} jobs that are not over are taken`,
      retry,
    );
}

/** @throws HttpError 429, 503 */
function enter({ uploads, limits }: SubmissionDeps, caller: string): () => void {
  const place = uploads.take(caller);
  if (typeof place === 'function') return place;
  const retry = { retryAfterSeconds: limits.retryAfterSeconds };
  throw place === 'caller'
    ? new HttpError(429, 'upload.too_many_of_caller', 'too many uploads of this API key are under way', retry)
    : new HttpError(503, 'upload.too_many', 'too many uploads are under way at this node', retry);
}

/** @throws HttpError 400 */
function keyOf(request: HttpRequest): string | undefined {
  const header = request.headers['idempotency-key'];
  if (header === undefined) return undefined;
  if (typeof header === 'string' && isCustomerKey(header)) return header;
  throw new HttpError(400, 'jobs.bad_key', 'Idempotency-Key must be 1–128 visible ASCII characters');
}
