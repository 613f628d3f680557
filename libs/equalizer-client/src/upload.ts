/**
 * A form with one file, sent over node:http: an answer that comes before the last byte counts at once, and whoever has had enough ends
 * the sending in the middle. (`fetch` can do neither with a form: the rest of its body ends as a rejection that nobody can catch.)
 */
import { randomUUID } from 'node:crypto';
import { open, type FileHandle } from 'node:fs/promises';
import http, { type ClientRequest, type IncomingMessage } from 'node:http';
import https from 'node:https';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { MeshError, messageOf } from '@thermomesh/runtime';
import { EqualizerNoAnswerError } from './errors.ts';

export interface Form {
  fields: Readonly<Record<string, string>>;
  /** The path of the file. */
  file: string;
  fileName: string;
}

export interface UploadTo {
  /** With the route. */
  url: string;
  headers: Readonly<Record<string, string>>;
}

/** Of an answer: a job, or a problem. */
const answerBytesMax = 1024 * 1024;
/** That are read at once. */
const chunkBytes = 64 * 1024;

/**
 * Sends the form once. When this settles the file is closed, and nothing is sent any more.
 * @param signal ends it; the error is an {@link EqualizerNoAnswerError} then too
 * @throws EqualizerNoAnswerError · MeshError `equalizer.file_changed` · what opening and reading the file throws
 */
export async function upload(to: UploadTo, form: Form, signal: AbortSignal): Promise<Response> {
  const handle = await open(form.file);
  try {
    const { size: fileBytes } = await handle.stat();
    return await send(to, bodyOf(handle, fileBytes, form), signal);
  } finally {
    await handle.close();
  }
}

interface Body {
  contentType: string;
  bytes: number;
  parts: AsyncIterable<Uint8Array>;
  /** What reading the file threw. */
  failure(): unknown;
}

/** `multipart/form-data` (RFC 7578). Fields come before the file: the server knows what is asked when the bytes begin. */
function bodyOf(handle: FileHandle, fileBytes: number, { fields, fileName }: Form): Body {
  const boundary = `thermomesh-${randomUUID()}`;
  const open = `--${boundary}\r\nContent-Disposition: form-data; name=`;
  const texts = Object.entries(fields).map(([name, value]) => `${open}"${quoted(name)}"\r\n\r\n${value}\r\n`);
  const type = 'Content-Type: application/octet-stream';
  const head = Buffer.from(
    `${texts.join('')}${open}"file"; filename="${quoted(fileName)}"\r\n${type}\r\n\r\n`,
  );
  const tail = Buffer.from(`\r\n--${boundary}--\r\n`);
  let failure: unknown;
  async function* parts(): AsyncGenerator<Uint8Array, void> {
    yield head;
    for (let at = 0; at < fileBytes;) {
      // Only what reading throws is the file's fault: at a yield the generator hears of the connection's end.
      const chunk = await read(handle, at, fileBytes).catch((error: unknown) => {
        failure = error;
        throw error;
      });
      at += chunk.length;
      yield chunk;
    }
    yield tail;
  }
  return {
    contentType: `multipart/form-data; boundary=${boundary}`,
    bytes: head.length + fileBytes + tail.length,
    parts: parts(),
    failure: () => failure,
  };
}

/** The next bytes of the file, of which as many were announced. @throws MeshError `equalizer.file_changed` */
async function read(handle: FileHandle, at: number, end: number): Promise<Buffer> {
  const wanted = Math.min(chunkBytes, end - at);
  const { bytesRead, buffer } = await handle.read(Buffer.allocUnsafe(wanted), 0, wanted, at);
  if (bytesRead === 0)
    throw new MeshError('equalizer.file_changed', 'the file has become shorter while it was sent');
  return buffer.subarray(0, bytesRead);
}

/** As browsers and `fetch` escape names (HTML, "multipart/form-data encoding algorithm"). */
function quoted(name: string): string {
  return name.toWellFormed().replaceAll('\r', '%0D').replaceAll('\n', '%0A').replaceAll('"', '%22');
}

async function send({ url, headers }: UploadTo, body: Body, signal: AbortSignal): Promise<Response> {
  const target = new URL(url);
  const length = { 'content-type': body.contentType, 'content-length': body.bytes };
  const scheme = target.protocol === 'https:' ? https : http;
  // A connection of its own, because it may be broken off in the middle; and one that is kept, because servers close the other kind
  // behind an early answer at once, which the reset may overtake.
  const agent = new scheme.Agent({ keepAlive: true });
  const request = scheme.request(target, {
    ...{ method: 'POST', headers: { ...headers, ...length }, signal },
    agent,
  });
  const answered = new AbortController();
  const answering = answerTo(request);
  const sending = pipeline(Readable.from(body.parts), request, { signal: answered.signal });
  // How the sending ends is told by the answer, or by its absence.
  const sent = sending.catch(() => undefined);
  try {
    return await answering;
  } catch (cause) {
    await sent;
    if (body.failure() !== undefined) throw body.failure();
    throw new EqualizerNoAnswerError(`${target.origin} gave no answer: ${messageOf(cause)}`, { cause });
  } finally {
    answered.abort();
    await sent;
    request.destroy();
    agent.destroy();
  }
}

/** The answer, however much of the request was sent by then. */
async function answerTo(request: ClientRequest): Promise<Response> {
  const { promise, resolve, reject } = Promise.withResolvers<IncomingMessage>();
  request.once('response', resolve);
  // Also after the answer: a server that has said no may hang up on the rest.
  request.on('error', reject);
  request.once('close', () => reject(new Error('the connection was closed')));
  const response = await promise;
  const chunks: Buffer[] = [];
  let bytes = 0;
  for await (const chunk of response as AsyncIterable<Buffer>) {
    bytes += chunk.length;
    if (bytes > answerBytesMax) throw new Error(`the answer has more than ${answerBytesMax} bytes`);
    chunks.push(chunk);
  }
  const headers = new Headers();
  for (const [name, values] of Object.entries(response.headersDistinct))
    for (const value of values ?? []) headers.append(name, value);
  const status = response.statusCode ?? 0;
  const content = [204, 205, 304].includes(status) ? null : Buffer.concat(chunks);
  return new Response(content, { status, headers });
}
