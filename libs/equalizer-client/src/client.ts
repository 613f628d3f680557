/**
 * Image jobs as a caller has them. Every call goes to one of several addresses, any of which serves it, and is repeated at the next one
 * while nobody answers; a submission carries a key of its own, so that repeating it makes no second job.
 */
import { randomUUID } from 'node:crypto';
import { open, rename, rm } from 'node:fs/promises';
import path from 'node:path';
import { ImageJob, ImageJobs, imageJobRoutes, isDocument, isFinalPhase } from '@thermomesh/contracts';
import { MeshError } from '@thermomesh/runtime';
import { DelegateBackoff, handleWhen, retry } from 'cockatiel';
import { EqualizerNoAnswerError } from './errors.ts';
import { eventsOf } from './events.ts';
import { accepted, call, headersOf, json, type Call } from './http.ts';
import { upload } from './upload.ts';

export interface EqualizerClientOptions {
  /** Gateways or equalizer nodes; the first one is asked first. */
  urls: readonly string[];
  /** An API key with the scope `images`. */
  apiKey: string;
  /** Until somebody answers a call, repeats included. Default 60,000. */
  deadlineMs?: number;
  /** Of one try that moves no image. Default 10,000. */
  requestTimeoutMs?: number;
  /** Of one try that uploads or downloads. Default 600,000. */
  transferTimeoutMs?: number;
  /** An event stream that says nothing for so long is opened anew; the server's heartbeats are closer. Default 30,000. */
  silenceTimeoutMs?: number;
}

export interface Submission {
  file: string;
  /** Mode, definition, format, page, quality: text. */
  fields: Readonly<Record<string, string>>;
  /** As the mesh shall name the upload; the file's own name if left out. */
  fileName?: string;
  /** The same key is the same job. Made up if left out. */
  key?: string;
  /** Ends it, in the middle of the upload too: nothing is sent any more when `submit` rejects with the signal's reason. */
  signal?: AbortSignal;
}

export interface EqualizerClient {
  /** Uploads an image. When this settles, the job ends whatever dies (I5). @throws EqualizerRefusedError · EqualizerNoAnswerError */
  submit(submission: Submission): Promise<ImageJob>;
  read(id: string): Promise<ImageJob>;
  /** The caller's own jobs, newest first. */
  list(): Promise<ImageJob[]>;
  /** Asks for the end of the job. */
  cancel(id: string): Promise<ImageJob>;
  /** The job now and whenever it changes, up to its final phase, over reconnects: nothing that was seen comes again. */
  follow(id: string, signal?: AbortSignal): AsyncGenerator<ImageJob, void>;
  /** Follows the job to its end. */
  finished(id: string, signal?: AbortSignal): Promise<ImageJob>;
  /** Saves the result, which appears whole under its name or not at all; nothing else is left of it when this settles. */
  download(id: string, file: string, signal?: AbortSignal): Promise<void>;
}

const defaults = {
  deadlineMs: 60_000,
  requestTimeoutMs: 10_000,
  transferTimeoutMs: 600_000,
  silenceTimeoutMs: 30_000,
};
const pauseFirstMs = 50;
const pauseMaxMs = 2_000;

/** @throws MeshError `equalizer.no_address` */
export function createEqualizerClient(options: EqualizerClientOptions): EqualizerClient {
  if (options.urls.length === 0)
    throw new MeshError('equalizer.no_address', 'no address of an equalizer or a gateway was given');
  return new Client({ ...defaults, ...options });
}

class Client implements EqualizerClient {
  readonly #options: Required<EqualizerClientOptions>;
  /** Which address is asked next: one that did not answer is left for the following. */
  #turn = 0;

  constructor(options: Required<EqualizerClientOptions>) {
    this.#options = options;
  }

  async submit({
    file,
    fields,
    fileName = path.basename(file),
    key = randomUUID(),
    signal,
  }: Submission): Promise<ImageJob> {
    const headers = headersOf(this.#options.apiKey, { 'idempotency-key': key });
    return this.#repeated(async (url) => {
      const to = { url: url + imageJobRoutes.jobs, headers };
      const end = endOf(this.#options.transferTimeoutMs, signal);
      return jobOf(url, await accepted(await upload(to, { fields, file, fileName }, end)));
    }, signal);
  }

  async read(id: string): Promise<ImageJob> {
    return this.#repeated(async (url) => this.#job(url, { route: imageJobRoutes.job(id) }));
  }

  async list(): Promise<ImageJob[]> {
    return this.#repeated(async (url) => {
      const value = await json(await this.#call(url, { route: imageJobRoutes.jobs }));
      if (!isDocument(ImageJobs, value)) throw misunderstood(url);
      return value.jobs;
    });
  }

  async cancel(id: string): Promise<ImageJob> {
    return this.#repeated(async (url) => this.#job(url, { method: 'DELETE', route: imageJobRoutes.job(id) }));
  }

  async *follow(id: string, signal?: AbortSignal): AsyncGenerator<ImageJob, void> {
    let lastId: string | undefined;
    for (;;) {
      signal?.throwIfAborted();
      const { url, events } = await this.#repeated(
        async (address) => ({
          url: address,
          events: await this.#open(id, address, lastId, signal),
        }),
        signal,
      );
      try {
        for await (const event of events) {
          const job: unknown = JSON.parse(event.data);
          if (!isDocument(ImageJob, job)) throw misunderstood(url);
          lastId = event.id ?? lastId;
          yield job;
          if (isFinalPhase(job.phase)) return;
        }
      } catch (error) {
        if (!(error instanceof EqualizerNoAnswerError)) throw error;
      }
      signal?.throwIfAborted();
      // It broke off: the next address goes on behind what was seen.
      this.#turn += 1;
    }
  }

  async finished(id: string, signal?: AbortSignal): Promise<ImageJob> {
    let last: ImageJob | undefined;
    for await (const job of this.follow(id, signal)) last = job;
    return last ?? this.read(id);
  }

  async download(id: string, file: string, signal?: AbortSignal): Promise<void> {
    const aside = `${file}.${randomUUID()}.part`;
    try {
      await this.#repeated(async (url) => {
        const end = endOf(this.#options.transferTimeoutMs, signal);
        const response = await this.#call(url, { route: imageJobRoutes.result(id) }, end);
        if (response.body === null) throw misunderstood(url);
        const handle = await open(aside, 'w');
        try {
          await handle.writeFile(response.body);
        } catch (cause) {
          throw new EqualizerNoAnswerError(`${url} broke off while it sent the result`, { cause });
        } finally {
          await handle.close();
        }
      }, signal);
      await rename(aside, file);
    } finally {
      await rm(aside, { force: true });
    }
  }

  async #open(id: string, url: string, lastId: string | undefined, signal: AbortSignal | undefined) {
    const headers = {
      accept: 'text/event-stream',
      ...(lastId === undefined ? {} : { 'last-event-id': lastId }),
    };
    const { apiKey, requestTimeoutMs, silenceTimeoutMs } = this.#options;
    const ask = { url, apiKey, call: { route: imageJobRoutes.events(id), headers } };
    return eventsOf(ask, { headersTimeoutMs: requestTimeoutMs, silenceTimeoutMs, signal });
  }

  async #job(url: string, what: Call): Promise<ImageJob> {
    return jobOf(url, await this.#call(url, what));
  }

  async #call(url: string, what: Call, end = endOf(this.#options.requestTimeoutMs)): Promise<Response> {
    return accepted(await call({ url, apiKey: this.#options.apiKey, call: what }, end));
  }

  /**
   * One address after the other until one answers, or the deadline. A try that hears of `signal` itself has ended when this settles.
   * @throws the last error; the reason of `signal`
   */
  async #repeated<T>(work: (url: string) => Promise<T>, signal?: AbortSignal): Promise<T> {
    const { urls, deadlineMs } = this.#options;
    const deadline = Date.now() + deadlineMs;
    const policy = retry(
      handleWhen((error) => error instanceof EqualizerNoAnswerError && Date.now() < deadline),
      {
        maxAttempts: Number.MAX_SAFE_INTEGER,
        backoff: new DelegateBackoff(({ attempt, result }) =>
          Math.min(pauseMs(attempt, 'error' in result ? result.error : undefined), deadline - Date.now()),
        ),
      },
    );
    let trying: Promise<unknown> = Promise.resolve();
    const repeating = policy.execute(async () => {
      signal?.throwIfAborted();
      try {
        const result = work(urls[this.#turn % urls.length] ?? '');
        trying = result.catch(() => undefined);
        return await result;
      } catch (error) {
        signal?.throwIfAborted();
        if (error instanceof EqualizerNoAnswerError) this.#turn += 1;
        throw error;
      }
    }, signal);
    return signal === undefined ? repeating : orAborted(repeating, signal).finally(async () => trying);
  }
}

/** When a try is over at the latest. */
function endOf(timeoutMs: number, signal?: AbortSignal): AbortSignal {
  const timeout = AbortSignal.timeout(timeoutMs);
  return signal === undefined ? timeout : AbortSignal.any([timeout, signal]);
}

/** @throws MeshError `equalizer.misunderstood` · EqualizerNoAnswerError */
async function jobOf(url: string, response: Response): Promise<ImageJob> {
  const value = await json(response);
  if (!isDocument(ImageJob, value)) throw misunderstood(url);
  return value;
}

/** Whichever comes first: what comes of it, or the caller's having had enough. @throws the reason of `signal` */
async function orAborted<T>(work: Promise<T>, signal: AbortSignal): Promise<T> {
  const { promise: aborted, reject } = Promise.withResolvers<never>();
  const onAbort = () => reject(signal.reason as Error);
  // Nobody waits for the other one any more.
  for (const each of [work, aborted]) each.catch(() => undefined);
  if (signal.aborted) onAbort();
  else signal.addEventListener('abort', onAbort, { once: true });
  try {
    return await Promise.race([work, aborted]);
  } finally {
    signal.removeEventListener('abort', onAbort);
  }
}

/** Full jitter, and never sooner than the mesh asks for. */
function pauseMs(attempt: number, error: unknown): number {
  const bound = Math.min(pauseMaxMs, pauseFirstMs * 2 ** Math.min(attempt, 10));
  const asked = error instanceof EqualizerNoAnswerError ? error.retryAfterMs : 0;
  return Math.max(asked, Math.random() * bound);
}

function misunderstood(url: string): MeshError {
  return new MeshError('equalizer.misunderstood', `${url} answered with something else than an image job`);
}
