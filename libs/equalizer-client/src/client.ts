/**
 * Image jobs for callers. A call goes to one of several addresses, each of which can serve it. If
 * one does not answer, the call is repeated at the next one. A submission has an idempotency key,
 * so that a repetition makes no second job.
 */
import { randomUUID } from 'node:crypto';
import { open, rename, rm } from 'node:fs/promises';
import path from 'node:path';
import { ImageJob, ImageJobs, imageJobRoutes, isDocument, isFinalPhase } from '@thermomesh/contracts';
import { backoffMs, raceAbort, type MeshError } from '@thermomesh/runtime';
import { DelegateBackoff, handleWhen, retry } from 'cockatiel';
import { equalizerError, EqualizerNoAnswerError } from './errors.ts';
import { eventsOf } from './events.ts';
import { accepted, call, headersOf, json, type Call } from './http.ts';
import { upload } from './upload.ts';

export interface EqualizerClientOptions {
  /** Gateways or equalizer nodes; the first one is tried first. */
  urls: readonly string[];
  /** An API key with the scope `images`. */
  apiKey: string;
  /** Time limit for an answer to a call, repetitions included. Default 60,000. */
  deadlineMs?: number;
  /** Time limit of one try that transfers no image. Default 10,000. */
  requestTimeoutMs?: number;
  /** Time limit of one upload or download. Default 600,000. */
  transferTimeoutMs?: number;
  /**
   * An event stream that is silent for this time is opened again. It must be longer than the
   * heartbeat interval of the server. Default 30,000.
   */
  silenceTimeoutMs?: number;
}

export interface Submission {
  file: string;
  /** Mode, definition, format, page and quality, as text. */
  fields: Readonly<Record<string, string>>;
  /** Name of the upload in the mesh. Default: the name of the file. */
  fileName?: string;
  /** Idempotency key: the same key means the same job. Default: a random UUID. */
  key?: string;
  /**
   * Aborts the submission, even in the middle of the upload. When `submit` rejects with the reason
   * of the signal, no more bytes are sent.
   */
  signal?: AbortSignal;
}

export interface EqualizerClient {
  /**
   * Uploads an image. Once this resolves, the job reaches its end even if processes die (I5).
   * @throws EqualizerRefusedError · EqualizerNoAnswerError
   */
  submit(submission: Submission): Promise<ImageJob>;
  /** Reads the present state of a job. */
  read(id: string): Promise<ImageJob>;
  /** The caller's own jobs, newest first. */
  list(): Promise<ImageJob[]>;
  /** Requests the cancellation of a job. */
  cancel(id: string): Promise<ImageJob>;
  /**
   * Yields the job now and after each change, up to its final phase. It reconnects when the stream
   * breaks, and yields no state twice.
   */
  follow(id: string, signal?: AbortSignal): AsyncGenerator<ImageJob, void>;
  /** Follows the job and resolves with its final state. */
  finished(id: string, signal?: AbortSignal): Promise<ImageJob>;
  /**
   * Saves the result, which appears completely under its name or not at all. When this settles, no
   * temporary file is left.
   */
  download(id: string, file: string, signal?: AbortSignal): Promise<void>;
}

const defaults = {
  deadlineMs: 60_000,
  requestTimeoutMs: 10_000,
  transferTimeoutMs: 600_000,
  silenceTimeoutMs: 30_000,
};
const backoffLimits = { minMs: 50, maxMs: 2_000 };

/** Makes a client. @throws MeshError `equalizer.no_address` if `urls` is empty */
export function createEqualizerClient(options: EqualizerClientOptions): EqualizerClient {
  if (options.urls.length === 0)
    throw equalizerError('equalizer.no_address', 'no address of an equalizer or a gateway was given');
  return new Client({ ...defaults, ...options });
}

class Client implements EqualizerClient {
  readonly #options: Required<EqualizerClientOptions>;
  /** Index of the address to try; it moves on when an address does not answer. */
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
      // The stream broke: the next address continues after the last event.
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
   * Tries one address after the other until one answers or the deadline has passed. If `signal`
   * aborts, this rejects once the present try has ended.
   * @throws the last error, or the reason of `signal`
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
    return signal === undefined ? repeating : raceAbort(repeating, signal).finally(async () => trying);
  }
}

/** Aborts after `timeoutMs`, or when `signal` aborts. */
function endOf(timeoutMs: number, signal?: AbortSignal): AbortSignal {
  const timeout = AbortSignal.timeout(timeoutMs);
  return signal === undefined ? timeout : AbortSignal.any([timeout, signal]);
}

/** Parses a job. @throws MeshError `equalizer.misunderstood` · EqualizerNoAnswerError */
async function jobOf(url: string, response: Response): Promise<ImageJob> {
  const value = await json(response);
  if (!isDocument(ImageJob, value)) throw misunderstood(url);
  return value;
}

/** The pause before a repetition, at least the pause that the mesh requests. */
function pauseMs(failures: number, error: unknown): number {
  const requestedMs = error instanceof EqualizerNoAnswerError ? error.retryAfterMs : 0;
  return Math.max(requestedMs, backoffMs(failures, backoffLimits, Math.random()));
}

function misunderstood(url: string): MeshError {
  return equalizerError('equalizer.misunderstood', `${url} did not answer with an image job`);
}
