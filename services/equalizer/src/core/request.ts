/**
 * The options of a request, as the parameters of a job carry them, and their effect on one image.
 */
import type { JobParameters } from '@thermomesh/contracts';
import {
  definitions,
  modes,
  planEqualization,
  type Definition,
  type EqualizationPlan,
  type Mode,
} from '@thermomesh/equalization';
import {
  checkEncodable,
  imageFormats,
  outputLike,
  type ImageFacts,
  type ImageFormat,
  type OutputOptions,
  type SpoolShape,
} from '../image/index.ts';
import { equalizerError } from './errors.ts';

/** Options of a request. A missing option takes its value from the image. */
export interface EqualizationRequest {
  /** `clahe` is not one of the exact modes. */
  mode?: Mode | 'clahe';
  definition?: Definition;
  /** Format of the result. Default: the format of the upload. */
  format?: ImageFormat;
  /** Page of a multipage TIFF, from 0. */
  page?: number;
  /** Quality of a JPEG result, 1 to 100. */
  quality?: number;
}

/** The work on one image. Plain data. */
export interface ImagePlan {
  /** Null for `clahe`, which has no chunks. */
  equalization: EqualizationPlan | null;
  output: OutputOptions;
}

const wholeNumber = /^(0|[1-9][0-9]{0,8})$/;

/**
 * Parses the fields of a form or the parameters of a job.
 * @throws MeshError `request.invalid` that lists every issue
 */
export function readRequest(fields: Readonly<Record<string, unknown>>): EqualizationRequest {
  const request: EqualizationRequest = {};
  const issues: string[] = [];
  const oneOf = <T extends string>(name: string, value: unknown, known: readonly T[]): T | undefined => {
    if (known.includes(value as T)) return value as T;
    issues.push(`${name} must be one of ${known.join(', ')}`);
    return undefined;
  };
  const integer = (name: string, value: unknown, min: number, max: number): number | undefined => {
    const text = String(value);
    if (wholeNumber.test(text) && Number(text) >= min && Number(text) <= max) return Number(text);
    issues.push(`${name} must be a whole number from ${min} to ${max}`);
    return undefined;
  };
  const readers: Record<string, (value: unknown) => Partial<EqualizationRequest>> = {
    mode: (value) => defined('mode', oneOf('mode', value, [...modes, 'clahe'] as const)),
    definition: (value) => defined('definition', oneOf('definition', value, definitions)),
    format: (value) => defined('format', oneOf('format', value, imageFormats)),
    page: (value) => defined('page', integer('page', value, 0, 999_999)),
    quality: (value) => defined('quality', integer('quality', value, 1, 100)),
  };
  for (const [name, value] of Object.entries(fields)) {
    const read = Object.hasOwn(readers, name) ? readers[name] : undefined;
    if (read === undefined)
      issues.push(
        `unknown field ${JSON.stringify(name.slice(0, 64))}; known: ${Object.keys(readers).join(', ')}`,
      );
    else Object.assign(request, read(value));
  }
  if (request.mode === 'clahe' && request.definition !== undefined)
    issues.push('clahe has no definition: leave it out');
  if (issues.length > 0) throw equalizerError('request.invalid', issues.join('; '));
  return request;
}

/** The parameters of a job for a request; {@link readRequest} parses them. */
export function parametersOf(request: EqualizationRequest): JobParameters {
  return { ...request };
}

/**
 * Plans the work on an image from its facts, before any pixel is read.
 * @param wholeImagePixelsMax see `ImageLimits`
 * @throws EqualizationError `equalization.unsupported`
 * @throws MeshError `image.unencodable`
 */
export function planImage(
  facts: ImageFacts,
  shape: SpoolShape,
  request: EqualizationRequest,
  wholeImagePixelsMax: number,
): ImagePlan {
  const { mode, definition, quality } = request;
  const output = { ...outputLike(facts, request.format), ...defined('quality', quality) };
  if (mode === 'clahe') {
    checkEncodable(shape, output.format, wholeImagePixelsMax);
    return { equalization: null, output };
  }
  const { depth, channels } = shape;
  const equalization = planEqualization({
    depth,
    channels,
    ...defined('mode', mode),
    ...defined('definition', definition),
  });
  checkEncodable({ ...shape, channels: equalization.outputChannels }, output.format, wholeImagePixelsMax);
  return { equalization, output };
}

/**
 * Whether chunks are read directly from the upload, without decoding it first. An image that is
 * equalized in one piece is always decoded.
 */
export function staysInPlace(facts: ImageFacts, { equalization }: ImagePlan): boolean {
  return equalization !== null && facts.tiff?.bare === true;
}

/**
 * The number of pixels of a chunk. Chunks of a tiled upload that is read in place consist of whole
 * rows of tiles if the limit allows it, because both chunks that share a tile read parts of it.
 */
export function chunkPixelsOf(facts: ImageFacts, planned: ImagePlan, chunkPixelsMax: number): number {
  const tileRows = staysInPlace(facts, planned) ? (facts.tiff?.tile?.height ?? 1) : 1;
  const rows = Math.floor(chunkPixelsMax / facts.width);
  return rows < tileRows ? chunkPixelsMax : (rows - (rows % tileRows)) * facts.width;
}

/** The shape of the decoded image. */
export function decodedShape({ width, height, channels, depth }: ImageFacts): SpoolShape {
  return { width, height, channels, depth };
}

function defined<K extends string, T>(name: K, value: T | undefined): { [name in K]?: T } {
  return value === undefined ? {} : ({ [name]: value } as { [name in K]: T });
}
