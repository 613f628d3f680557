/**
 * Sends one request to one node. Uploads and answers are streamed; the request fails when the node
 * falls silent.
 */
import http, { type IncomingMessage } from 'node:http';
import https from 'node:https';
import { finished, PassThrough, pipeline, type Readable } from 'node:stream';
import { codeOf } from '@thermomesh/runtime';
import { lateCode, NoAnswerError, proxyError, type Progress } from '../core/errors.ts';
import type { Answer, NodeProxy, ProxiedRequest, ProxyLimits } from '../core/ports.ts';

/** Maximum number of bytes that are still read of an upload that the node has refused. */
const drainBytesMax = 64 * 1024 * 1024;

/**
 * Headers of uploads. A process that was stopped accepts connections too: only "100 Continue" shows
 * that it works. A node that is about to close the connection after its answer would close it in
 * the middle of an upload that it refuses, and the answer would be lost; `keep-alive` prevents
 * that.
 */
const uploadHeaders = { expect: '100-continue', connection: 'keep-alive' };

/**
 * Connections of requests without a body are kept and used again. An upload gets a new connection,
 * because a kept one may be half dead.
 */
export function createNodeProxy(limits: ProxyLimits): NodeProxy {
  const agents = {
    'http:': new http.Agent({ keepAlive: true }),
    'https:': new https.Agent({ keepAlive: true }),
  };

  async function send(
    url: string,
    proxied: ProxiedRequest,
    signal: AbortSignal,
    tryTimeoutMs = limits.tryTimeoutMs,
  ): Promise<Answer> {
    signal.throwIfAborted();
    const { protocol, hostname, port } = new URL(url);
    const { method, path, headers, body } = proxied;
    const secure = protocol === 'https:';
    const request = (secure ? https : http).request({
      protocol,
      hostname: hostname.replace(/^\[|\]$/g, ''),
      port,
      method,
      path,
      headers: isUpload(body) ? { ...headers, ...uploadHeaders } : headers,
      agent: !isUpload(body) && agents[secure ? 'https:' : 'http:'],
    });
    const abort = () => request.destroy(new Error('the caller has gone'));
    signal.addEventListener('abort', abort, { once: true });
    try {
      const response = await answerTo(request, body, url, { ...limits, tryTimeoutMs });
      return {
        status: response.statusCode ?? 502,
        headers: response.headers,
        body: breakOffWhenSilent(response, limits.silenceTimeoutMs),
      };
    } finally {
      signal.removeEventListener('abort', abort);
    }
  }

  return {
    send,
    close(): void {
      for (const agent of Object.values(agents)) agent.destroy();
    },
  };
}

function isUpload(body: ProxiedRequest['body']): body is Readable {
  return body !== null && !Buffer.isBuffer(body);
}

/** Sends the request, and an upload after "100 Continue". */
async function answerTo(
  request: http.ClientRequest,
  body: ProxiedRequest['body'],
  url: string,
  limits: ProxyLimits,
): Promise<IncomingMessage> {
  const { promise, resolve, reject } = Promise.withResolvers<IncomingMessage>();
  let begun = false;
  const progress = (error: unknown): Progress => {
    if (begun) return 'begun';
    return codeOf(error) === 'ECONNREFUSED' ? 'unsent' : 'sent';
  };
  const deadline = new Deadline(() => request.destroy(proxyError(lateCode, 'no answer in time')));
  deadline.set(limits.tryTimeoutMs);
  request.on('error', (error) => reject(new NoAnswerError(url, progress(error), error)));
  request.once('response', resolve);
  if (body === null) request.end();
  else if (!isUpload(body)) request.end(body);
  else {
    request.once('continue', () => {
      begun = true;
      upload(body, request, deadline, limits);
    });
    // The caller broke off, so the node has not failed.
    finished(body, { writable: false }, (cause) => {
      if (!cause) return;
      reject(proxyError('proxy.cut', 'the caller has gone', { cause }));
      request.destroy();
    });
    request.flushHeaders();
  }
  try {
    return await promise;
  } finally {
    deadline.clear();
  }
}

/** The deadline applies only while the node takes nothing: a slow caller has a limit of its own. */
function upload(body: Readable, request: http.ClientRequest, deadline: Deadline, limits: ProxyLimits): void {
  deadline.set(limits.silenceTimeoutMs, () => (request.writableNeedDrain ? 'late' : 'again'));
  body.on('data', () => deadline.again());
  request.on('drain', () => deadline.again());
  request.once('finish', () => deadline.set(limits.answerTimeoutMs));
  body.pipe(request);
  request.once('close', () => drain(body, request));
}

/**
 * Reads the rest of an upload that the node refused, up to a limit: callers read the answer only
 * after they have sent everything.
 */
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

/**
 * The body of an answer. It breaks off when the node falls silent; the time in which the caller
 * does not read does not count.
 */
function breakOffWhenSilent(response: IncomingMessage, silenceTimeoutMs: number): Readable {
  const deadline = new Deadline(() => response.destroy(new Error('the node fell silent')));
  const passing = new PassThrough({
    transform(chunk, _encoding, done) {
      deadline.again();
      done(null, chunk);
    },
  });
  deadline.set(silenceTimeoutMs, () => (passing.writableNeedDrain ? 'again' : 'late'));
  // The reader gets an error from the stream itself.
  pipeline(response, passing, () => deadline.clear());
  return passing;
}

/** One timer at a time. When it fires, `judge` decides whether the deadline is really missed. */
class Deadline {
  readonly #onLate: () => void;
  #state: { phase: 'unset' } | { phase: 'set'; timer: NodeJS.Timeout } | { phase: 'cleared' } = {
    phase: 'unset',
  };

  constructor(onLate: () => void) {
    this.#onLate = onLate;
  }

  set(afterMs: number, judge: () => 'late' | 'again' = () => 'late'): void {
    if (this.#state.phase === 'cleared') return;
    this.#stopTimer();
    const timer = setTimeout(() => {
      if (judge() === 'late') this.#onLate();
      else this.set(afterMs, judge);
    }, afterMs);
    this.#state = { phase: 'set', timer };
  }

  again(): void {
    if (this.#state.phase === 'set') this.#state.timer.refresh();
  }

  clear(): void {
    this.#stopTimer();
    this.#state = { phase: 'cleared' };
  }

  #stopTimer(): void {
    if (this.#state.phase === 'set') clearTimeout(this.#state.timer);
  }
}
