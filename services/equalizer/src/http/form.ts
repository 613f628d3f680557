/** A form with one file: read as it comes, never held in memory. */
import type { Readable } from 'node:stream';
import multipart, { type Multipart } from '@fastify/multipart';
import { HttpError, MeshError, codeOf, type HttpApp, type HttpRequest } from '@thermomesh/runtime';
import type { CreatedBlob } from '../core/blob-store.ts';

export interface Form {
  /** Without the file. A field that is JSON by its type is what it says, the others are text. */
  fields: Record<string, unknown>;
  /** As the caller names it: text, and never a path. */
  fileName: string;
  file: CreatedBlob;
}

export interface FormOptions {
  bytesMax: number;
  /** What can be known to be wrong before the file comes. */
  beforeFile: (fields: Record<string, unknown>) => void;
  /** Takes the file; above `bytesMax` it throws `blob.too_large`. */
  store: (source: Readable) => Promise<CreatedBlob>;
}

const fileField = 'file';
const fileNameLengthMax = 255;
const formLimits = { fields: 16, fieldNameSize: 100, fieldSize: 1_024, files: 1, parts: 24, headerPairs: 64 };

export async function acceptForms(app: HttpApp): Promise<void> {
  // The limit of the file is the store's, which says so; here a file would only be cut.
  await app.register(multipart, { throwFileSizeLimit: false, limits: formLimits });
}

/** @throws HttpError 400, 413, 415; what `beforeFile` and `store` throw */
export async function readForm(request: HttpRequest, options: FormOptions): Promise<Form> {
  if (!request.isMultipart())
    throw new HttpError(415, 'upload.not_multipart', 'send multipart/form-data with the image as its file');
  const fields: Record<string, unknown> = {};
  let stored: Pick<Form, 'fileName' | 'file'> | undefined;
  for await (const part of partsOf(request, options.bytesMax)) {
    if (part.type === 'field') addField(fields, part);
    else if (part.fieldname !== fileField)
      throw new HttpError(400, 'upload.unknown_file', `the image is the part "${fileField}"`);
    else {
      options.beforeFile(fields);
      const file = await whole(options.store(part.file), options.bytesMax);
      stored = { fileName: fileNameOf(part.filename), file };
    }
  }
  if (stored === undefined)
    throw new HttpError(400, 'upload.no_file', `send the image as the part "${fileField}" with a file name`);
  return { fields, ...stored };
}

/** The parts in their order; what the parser says is wrong is the caller's fault. */
async function* partsOf(request: HttpRequest, bytesMax: number): AsyncGenerator<Multipart> {
  const parts = request.parts({ limits: { fileSize: bytesMax + 1 } });
  for (;;) {
    const next = await parts.next().catch((error: unknown) => {
      throw formFault(error);
    });
    if (next.done === true) return;
    yield next.value;
  }
}

/** @throws the faults of the store as they are, those of the stream as faults of the form */
async function whole(storing: Promise<CreatedBlob>, bytesMax: number): Promise<CreatedBlob> {
  try {
    return await storing;
  } catch (error) {
    if (codeOf(error) === 'blob.too_large')
      throw new HttpError(413, 'image.bytes_limit', `at most ${bytesMax} bytes are taken`, { cause: error });
    throw error instanceof MeshError ? error : formFault(error);
  }
}

function addField(fields: Record<string, unknown>, part: Extract<Multipart, { type: 'field' }>): void {
  const name = part.fieldname;
  if (Object.hasOwn(fields, name))
    throw new HttpError(400, 'request.invalid', `the field ${JSON.stringify(name)} is there twice`);
  if (part.fieldnameTruncated || part.valueTruncated)
    throw new HttpError(400, 'request.invalid', `the field ${JSON.stringify(name)} is too long`);
  fields[name] = part.value;
}

function formFault(cause: unknown): HttpError {
  switch (codeOf(cause)) {
    case 'FST_FILES_LIMIT':
      return new HttpError(400, 'upload.two_files', 'one image a request', { cause });
    case 'FST_FIELDS_LIMIT':
    case 'FST_PARTS_LIMIT':
      return new HttpError(413, 'upload.too_many_parts', 'too many fields', { cause });
    case 'FST_PROTO_VIOLATION':
      return new HttpError(400, 'request.invalid', 'a field has a name that no field may have', { cause });
    default:
      return new HttpError(400, 'upload.malformed', 'the form is cut or malformed', { cause });
  }
}

/** Text of bounded length that survives JSON and UTF-8. */
function fileNameOf(name: string | undefined): string {
  return (name ?? '').slice(0, fileNameLengthMax).toWellFormed();
}
