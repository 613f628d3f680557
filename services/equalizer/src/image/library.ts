/**
 * The set-up of sharp: no caches, one thread per image, and only the loaders of the formats that
 * this service reads.
 */
import sharp from 'sharp';
import { codeOf, MeshError, messageOf } from '@thermomesh/runtime';
import { imageError } from './errors.ts';
import { formatTraits, imageFormats } from './formats/formats.ts';

sharp.cache(false);
// One thread per image: the pool of workers decides how many images are processed at once.
sharp.concurrency(1);
// libvips reads dozens of formats, among them SVG and PDF. Only the loaders listed here can be
// reached, whatever a file contains.
sharp.block({ operation: ['VipsForeignLoad'] });
sharp.unblock({ operation: imageFormats.map((format) => formatTraits[format].loader) });

export { sharp };

/**
 * Messages of libjpeg, libwebp and libtiff about a file that ends too early. libpng reports any
 * damage as a read error; `truncation.ts` looks for the end of such a file.
 */
const truncation =
  /truncat|premature|end of (?:stream|file|image)|not enough|(?<!libpng )read error|unexpected end|out of input|input buffer|past end/i;

/**
 * Maps an error of the image library to one with a code of this service; the original is its cause.
 */
export function imageErrorOf(error: unknown): MeshError {
  if (error instanceof MeshError) return error;
  const message = messageOf(error).split('\n')[0] ?? '';
  if (['ENOSPC', 'EIO', 'EMFILE', 'ENOENT', 'EACCES'].includes(codeOf(error) ?? '')) {
    return imageError('image.io', message, { cause: error });
  }
  if (/pixel limit/i.test(message)) return imageError('image.pixels_limit', message, { cause: error });
  if (/does not contain page|bad page number/i.test(message)) {
    return imageError('image.no_such_page', message, { cause: error });
  }
  if (truncation.test(messageOf(error))) {
    return imageError('image.truncated', `the file ends too early: ${message}`, { cause: error });
  }
  return imageError('image.damaged', message, { cause: error });
}
