/** One request to one equalizer node: streamed both ways, and given up when the node falls silent. */
import http, { type IncomingMessage, type OutgoingHttpHeaders } from 'node:http';
import https from 'node:https';
import { finished, PassThrough, pipeline, type Readable } from 'node:stream';
import { MeshError, messageOf } from '@thermomesh/runtime';

export interface Passage {
  method: string;
  /** As it is sent: no URL is resolved, so no path leads elsewhere. */
  path: string;
  headers: OutgoingHttpHeaders;
  /** The upload; null if there is none. */
  body: Readable | null;
}

export interface PassageLimits {
  tryTimeoutMs: number;
  answerTimeoutMs: number;
  silenceTimeoutMs: number;
}

export interface Answer {
  status: number;
  headers: IncomingMessage['headers'];
  body: Readable;
}

/** Of an upload that was refused before its end. */
const drainBytesMax = 64 * 1024 * 1024;

/**
 * A process that was stopped takes connections too: only "continue" shows that it lives. And a node that shall close the connection
 * after its answer would do so in the middle of an upload that it refuses, and the answer would be lost with it.
 */
const ofUploads = { expect: '100-continue', connection: 'keep-alive' };

/** No answer came. `begun`: a part of the upload was taken from the caller, so nobody else can be asked. */
export class NoAnswerError extends MeshError {
  readonly begun: boolean;

  constructor(url: string, begun: boolean, cause: unknown) {
    super('jobs.no_answer', `${url} gave no answer: ${messageOf(cause)}`, { retriable: true, cause });
    this.begun = begun;
  }
}

/** Keeps connections for what has no body; a connection for an upload is a new one, which cannot be half dead. */
export function createPassages(limits: PassageLimits) {
  const agents = {
    'http:': new http.Agent({ keepAlive: true }),
    'https:': new https.Agent({ keepAlive: true }),
  };

  /** @throws NoAnswerError */
  async function pass(url: string, passage: Passage, signal: AbortSignal): Promise<Answer> {
    signal.throwIfAborted();
    const { protocol, hostname, port } = new URL(url);
    const { method, path, headers, body } = passage;
    const secure = protocol === 'https:';
    const request = (secure ? https : http).request({
      ...{ protocol, hostname: hostname.replace(/^\[|\]$/g, ''), port, method, path },
      headers: body === null ? headers : { ...headers, ...ofUploads },
      ...(body === null ? { agent: agents[secure ? 'https:' : 'http:'] } : { agent: false as const }),
    });
    const abort = () => request.destroy(new Error('the caller has gone'));
    signal.addEventListener('abort', abort, { once: true });
    try {
      const response = await answerTo(request, body, url, limits);
      return {
        status: response.statusCode ?? 502,
        headers: response.headers,
        body: alive(response, limits.silenceTimeoutMs),
      };
    } finally {
      signal.removeEventListener('abort', abort);
    }
  }

  return {
    pass,
    close(): void {
      for (const agent of Object.values(agents)) agent.destroy();
    },
  };
}

/** Sends the request, and the body when the node has said that it listens. */
async function answerTo(
  request: http.ClientRequest,
  body: Readable | null,
  url: string,
  limits: PassageLimits,
): Promise<IncomingMessage> {
  const { promise, resolve, reject } = Promise.withResolvers<IncomingMessage>();
  let begun = false;
  const clock = new Deadline(() => request.destroy(new Error('no answer in time')));
  clock.set(limits.tryTimeoutMs);
  request.on('error', (error) => reject(new NoAnswerError(url, begun, error)));
  request.once('response', resolve);
  if (body === null) request.end();
  else {
    request.once('continue', () => {
      begun = true;
      send(body, request, clock, limits);
    });
    // Not the node's fault.
    finished(body, { writable: false }, (cause) => {
      if (!cause) return;
      reject(new MeshError('jobs.cut', 'the caller has gone', { cause }));
      request.destroy();
    });
    request.flushHeaders();
  }
  try {
    return await promise;
  } finally {
    clock.clear();
  }
}

/** Only a node that takes nothing is waited for in vain: a slow caller has its own time limit. */
function send(body: Readable, request: http.ClientRequest, clock: Deadline, limits: PassageLimits): void {
  const stalled = () => (request.writableNeedDrain ? 'late' : 'again');
  clock.set(limits.silenceTimeoutMs, stalled);
  body.on('data', () => clock.again());
  request.on('drain', () => clock.again());
  request.once('finish', () => clock.set(limits.answerTimeoutMs));
  body.pipe(request);
  request.once('close', () => drain(body, request));
}

/** A caller whose upload was refused before its end hears why only if the rest is taken, up to a limit. */
function drain(body: Readable, request: http.ClientRequest): void {
  if (body.readableEnded || body.destroyed) return;
  let bytes = 0;
  body.unpipe(request);
  body.on('data', (chunk: Buffer) => {
    bytes += chunk.length;
    if (bytes > drainBytesMax) body.destroy();
  });
  body.resume();
}

/** The body of an answer, broken off when its node falls silent; nobody's silence counts while the caller does not read. */
function alive(response: IncomingMessage, silenceTimeoutMs: number): Readable {
  const clock = new Deadline(() => response.destroy(new Error('the node fell silent')));
  const passing = new PassThrough({
    transform(chunk, _encoding, done) {
      clock.again();
      done(null, chunk);
    },
  });
  clock.set(silenceTimeoutMs, () => (passing.writableNeedDrain ? 'again' : 'late'));
  // Whoever reads hears of an error from the stream itself.
  pipeline(response, passing, () => clock.clear());
  return passing;
}

/** One timer at a time; it may be asked whether it is really late. */
class Deadline {
  readonly #onLate: () => void;
  #timer: NodeJS.Timeout | undefined;
  #cleared = false;

  constructor(onLate: () => void) {
    this.#onLate = onLate;
  }

  set(afterMs: number, judge: () => 'late' | 'again' = () => 'late'): void {
    clearTimeout(this.#timer);
    if (this.#cleared) return;
    this.#timer = setTimeout(() => {
      if (judge() === 'late') this.#onLate();
      else this.set(afterMs, judge);
    }, afterMs);
  }

  again(): void {
    if (!this.#cleared) this.#timer?.refresh();
  }

  clear(): void {
    this.#cleared = true;
    clearTimeout(this.#timer);
  }
}
