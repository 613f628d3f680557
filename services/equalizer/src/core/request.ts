/** What a caller may ask for, as it travels in a job's parameters, and what it means for one image. */
import type { JobParameters } from '@thermomesh/contracts';
import {
  definitions,
  modes,
  planEqualization,
  type Definition,
  type EqualizationPlan,
  type Mode,
} from '@thermomesh/equalization';
import { MeshError } from '@thermomesh/runtime';
import {
  checkEncodable,
  outputLike,
  type ImageFacts,
  type ImageFormat,
  type OutputOptions,
  type SpoolShape,
} from '../image/index.ts';

/** Every field is optional for the caller; what is absent follows the image. */
export interface EqualizationRequest {
  /** `clahe` is the extra beside the exact modes. */
  mode?: Mode | 'clahe';
  definition?: Definition;
  /** Of the output; the input's own if absent. */
  format?: ImageFormat;
  /** Of a multipage TIFF, from 0. */
  page?: number;
  /** Of JPEG, 1 to 100. */
  quality?: number;
}

/** What is done to one image. Plain data. */
export interface ImagePlan {
  /** Null for `clahe`, which has no chunks. */
  equalization: EqualizationPlan | null;
  output: OutputOptions;
}

const formats = ['jpeg', 'png', 'webp', 'tiff'] as const;
const wholeNumber = /^(0|[1-9][0-9]{0,8})$/;

/**
 * Reads the fields of a form or of a job's parameters.
 * @throws MeshError `request.invalid` with every fault
 */
export function readRequest(fields: Readonly<Record<string, unknown>>): EqualizationRequest {
  const request: EqualizationRequest = {};
  const faults: string[] = [];
  const oneOf = <T extends string>(name: string, value: unknown, known: readonly T[]): T | undefined => {
    if (known.includes(value as T)) return value as T;
    faults.push(`${name} must be one of ${known.join(', ')}`);
    return undefined;
  };
  const integer = (name: string, value: unknown, min: number, max: number): number | undefined => {
    const text = String(value);
    if (wholeNumber.test(text) && Number(text) >= min && Number(text) <= max) return Number(text);
    faults.push(`${name} must be a whole number from ${min} to ${max}`);
    return undefined;
  };
  const readers: Record<string, (value: unknown) => Partial<EqualizationRequest>> = {
    mode: (value) => defined('mode', oneOf('mode', value, [...modes, 'clahe'] as const)),
    definition: (value) => defined('definition', oneOf('definition', value, definitions)),
    format: (value) => defined('format', oneOf('format', value, formats)),
    page: (value) => defined('page', integer('page', value, 0, 999_999)),
    quality: (value) => defined('quality', integer('quality', value, 1, 100)),
  };
  for (const [name, value] of Object.entries(fields)) {
    const read = Object.hasOwn(readers, name) ? readers[name] : undefined;
    if (read === undefined)
      faults.push(
        `unknown field ${JSON.stringify(name.slice(0, 64))}; known: ${Object.keys(readers).join(', ')}`,
      );
    else Object.assign(request, read(value));
  }
  if (request.mode === 'clahe' && request.definition !== undefined)
    faults.push('clahe has no definition: leave it out');
  if (faults.length > 0) throw new MeshError('request.invalid', faults.join('; '));
  return request;
}

/** As a job carries it; {@link readRequest} reads it back. */
export function parametersOf(request: EqualizationRequest): JobParameters {
  return { ...request };
}

/**
 * Settles what is done to an image of these facts, before any work is done for it.
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
    ...{ depth, channels },
    ...defined('mode', mode),
    ...defined('definition', definition),
  });
  checkEncodable({ ...shape, channels: equalization.outputChannels }, output.format, wholeImagePixelsMax);
  return { equalization, output };
}

/**
 * Whether the chunks of an image are read where they lie in the upload: nothing has to be decoded first. What is equalized in one piece
 * is decoded all the same.
 */
export function staysInPlace(facts: ImageFacts, { equalization }: ImagePlan): boolean {
  return equalization !== null && facts.tiff?.bare === true;
}

/**
 * How many pixels a chunk of an image gets: of tiles that are read where they lie whole rows, as far as the limit allows it. A tile that
 * two chunks share is read in pieces by both.
 */
export function chunkPixelsOf(facts: ImageFacts, planned: ImagePlan, chunkPixelsMax: number): number {
  const tileRows = staysInPlace(facts, planned) ? (facts.tiff?.tile?.height ?? 1) : 1;
  const rows = Math.floor(chunkPixelsMax / facts.width);
  return rows < tileRows ? chunkPixelsMax : (rows - (rows % tileRows)) * facts.width;
}

/** The shape that an image of these facts has once it is decoded. */
export function decodedShape({ width, height, channels, depth }: ImageFacts): SpoolShape {
  return { width, height, channels, depth };
}

function defined<K extends string, T>(name: K, value: T | undefined): { [name in K]?: T } {
  return value === undefined ? {} : ({ [name]: value } as { [name in K]: T });
}
