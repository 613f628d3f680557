/**
 * Sends a form with one file over node:http. An answer that arrives before the last byte counts at
 * once, and the caller can abort in the middle. (`fetch` supports neither for a form: the rest of
 * the body ends as a rejection that no code can catch.)
 */
import { randomUUID } from 'node:crypto';
import { open, type FileHandle } from 'node:fs/promises';
import http, { type ClientRequest, type IncomingMessage } from 'node:http';
import https from 'node:https';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { messageOf } from '@thermomesh/runtime';
import { equalizerError, EqualizerNoAnswerError } from './errors.ts';

export interface Form {
  fields: Readonly<Record<string, string>>;
  /** The path of the file. */
  file: string;
  fileName: string;
}

export interface UploadTo {
  /** The full URL, route included. */
  url: string;
  headers: Readonly<Record<string, string>>;
}

/** Maximum size of an answer: a job or a problem document. */
const answerBytesMax = 1024 * 1024;
/** Size of one read from the file. */
const chunkBytes = 64 * 1024;

/**
 * Sends the form once. When this settles, the file is closed and no more bytes are sent.
 * @param signal ends the upload; the error is an {@link EqualizerNoAnswerError} in this case too
 * @throws EqualizerNoAnswerError · MeshError `equalizer.file_changed` · errors of opening and
 *   reading the file
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
  /** The error of reading the file, if there was one. */
  failure(): unknown;
}

/**
 * Builds a body of `multipart/form-data` (RFC 7578). Fields precede the file: the server knows the
 * parameters when the bytes of the image begin.
 */
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
      // Only errors of the read are caused by the file: a yield throws when the connection ends.
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

/**
 * Reads the next bytes of the file. The header has announced its length, so all of them must exist.
 * @throws MeshError `equalizer.file_changed`
 */
async function read(handle: FileHandle, at: number, end: number): Promise<Buffer> {
  const wanted = Math.min(chunkBytes, end - at);
  const { bytesRead, buffer } = await handle.read(Buffer.allocUnsafe(wanted), 0, wanted, at);
  if (bytesRead === 0)
    throw equalizerError('equalizer.file_changed', 'the file has become shorter while it was sent');
  return buffer.subarray(0, bytesRead);
}

/** Escapes a name like browsers and `fetch` (HTML, "multipart/form-data encoding algorithm"). */
function quoted(name: string): string {
  return name.toWellFormed().replaceAll('\r', '%0D').replaceAll('\n', '%0A').replaceAll('"', '%22');
}

async function send({ url, headers }: UploadTo, body: Body, signal: AbortSignal): Promise<Response> {
  const target = new URL(url);
  const length = { 'content-type': body.contentType, 'content-length': body.bytes };
  const scheme = target.protocol === 'https:' ? https : http;
  // A connection of its own, because an abort breaks it in the middle. It is keep-alive, because
  // servers close other connections right after an early answer, and the reset may overtake the
  // answer.
  const agent = new scheme.Agent({ keepAlive: true });
  const request = scheme.request(target, {
    method: 'POST',
    headers: { ...headers, ...length },
    signal,
    agent,
  });
  const answered = new AbortController();
  const answering = answerTo(request);
  const sending = pipeline(Readable.from(body.parts), request, { signal: answered.signal });
  // The answer, or its absence, tells how the upload ended.
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

/** Waits for the answer, which may arrive before the whole request is sent. */
async function answerTo(request: ClientRequest): Promise<Response> {
  const { promise, resolve, reject } = Promise.withResolvers<IncomingMessage>();
  request.once('response', resolve);
  // Also handled after the answer: a server that has refused may close the connection.
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
