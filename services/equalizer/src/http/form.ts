/** Reads a multipart form with one file: the file is streamed and never held in memory. */
import type { Readable } from 'node:stream';
import multipart, { type Multipart } from '@fastify/multipart';
import { codeOf, MeshError, type HttpError, type HttpApp, type HttpRequest } from '@thermomesh/runtime';
import type { CreatedBlob } from '../core/ports.ts';
import { httpError } from './problems.ts';

export interface Form {
  /** All fields but the file: values of JSON parts are parsed, all others are text. */
  fields: Record<string, unknown>;
  /** The file name that the caller sent: plain text, never used as a path. */
  fileName: string;
  file: CreatedBlob;
}

export interface FormOptions {
  bytesMax: number;
  /** Checks the fields that precede the file; an error refuses the form before the file is read. */
  beforeFile: (fields: Record<string, unknown>) => void;
  /** Stores the file; above `bytesMax` it throws `blob.too_large`. */
  store: (source: Readable) => Promise<CreatedBlob>;
}

const fileField = 'file';
const fileNameLengthMax = 255;
const formLimits = { fields: 16, fieldNameSize: 100, fieldSize: 1_024, files: 1, parts: 24, headerPairs: 64 };

export async function acceptForms(app: HttpApp): Promise<void> {
  // The store enforces the size limit with an error; the parser would only cut the file.
  await app.register(multipart, { throwFileSizeLimit: false, limits: formLimits });
}

/** Reads the whole form. @throws HttpError 400, 413, 415; errors of `beforeFile` and `store` */
export async function readForm(request: HttpRequest, options: FormOptions): Promise<Form> {
  if (!request.isMultipart())
    throw httpError(415, 'upload.not_multipart', 'send multipart/form-data with the image as its file', {
      param: 'content-type',
      in: 'header',
      allowed: ['multipart/form-data'],
    });
  const fields: Record<string, unknown> = {};
  let stored: Pick<Form, 'fileName' | 'file'> | undefined;
  for await (const part of partsOf(request, options.bytesMax)) {
    if (part.type === 'field') addField(fields, part);
    else if (part.fieldname !== fileField)
      throw httpError(400, 'upload.unknown_file', `the image is the part "${fileField}"`);
    else {
      options.beforeFile(fields);
      const file = await whole(options.store(part.file), options.bytesMax);
      stored = { fileName: fileNameOf(part.filename), file };
    }
  }
  if (stored === undefined)
    throw httpError(400, 'upload.no_file', `send the image as the part "${fileField}" with a file name`);
  return { fields, ...stored };
}

/** The parts in their order. An error of the parser means that the form is invalid. */
async function* partsOf(request: HttpRequest, bytesMax: number): AsyncGenerator<Multipart> {
  const parts = request.parts({ limits: { fileSize: bytesMax + 1 } });
  for (;;) {
    const next = await parts.next().catch((error: unknown) => {
      throw formError(error);
    });
    if (next.done === true) return;
    yield next.value;
  }
}

/** Errors of the store pass unchanged; errors of the stream mean that the form is invalid. */
async function whole(storing: Promise<CreatedBlob>, bytesMax: number): Promise<CreatedBlob> {
  try {
    return await storing;
  } catch (error) {
    if (codeOf(error) === 'blob.too_large')
      throw httpError(413, 'image.bytes_limit', `at most ${bytesMax} bytes are accepted`, { cause: error });
    throw error instanceof MeshError ? error : formError(error);
  }
}

function addField(fields: Record<string, unknown>, part: Extract<Multipart, { type: 'field' }>): void {
  const name = part.fieldname;
  if (Object.hasOwn(fields, name))
    throw httpError(400, 'request.invalid', `the field ${JSON.stringify(name)} is sent twice`);
  if (part.fieldnameTruncated || part.valueTruncated)
    throw httpError(400, 'request.invalid', `the field ${JSON.stringify(name)} is too long`);
  fields[name] = part.value;
}

function formError(cause: unknown): HttpError {
  switch (codeOf(cause)) {
    case 'FST_FILES_LIMIT':
      return httpError(400, 'upload.two_files', 'send one image per request', { cause });
    case 'FST_FIELDS_LIMIT':
    case 'FST_PARTS_LIMIT':
      return httpError(413, 'upload.too_many_parts', 'too many fields', { cause });
    case 'FST_PROTO_VIOLATION':
      return httpError(400, 'request.invalid', 'a field has a forbidden name', { cause });
    default:
      return httpError(400, 'upload.malformed', 'the form is truncated or malformed', { cause });
  }
}

/** The name as text of bounded length that JSON and UTF-8 can carry. */
function fileNameOf(name: string | undefined): string {
  return (name ?? '').slice(0, fileNameLengthMax).toWellFormed();
}
