/** sharp, set up once: no caches, one thread an image, and no loader but the four formats that this service reads. */
import sharp from 'sharp';
import { codeOf, MeshError, messageOf } from '@thermomesh/runtime';
import { imageFault } from './faults.ts';

sharp.cache(false);
// One image is one thread: the pool of workers decides how many run beside each other.
sharp.concurrency(1);
// libvips reads dozens of formats, SVG and PDF among them. What is not listed cannot be reached, whatever the bytes say.
sharp.block({ operation: ['VipsForeignLoad'] });
sharp.unblock({
  operation: [
    'VipsForeignLoadJpegFile',
    'VipsForeignLoadPngFile',
    'VipsForeignLoadWebpFile',
    'VipsForeignLoadTiffFile',
  ],
});

export { sharp };

/** What libjpeg, libpng, libwebp and libtiff say when a file ends too early. */
const truncation =
  /truncat|premature|end of (?:stream|file|image)|not enough|read error|unexpected end|out of input|input buffer|past end/i;

/** Names what the image library complains about: an error of ours, with the library's as its cause. */
export function nameFault(error: unknown): MeshError {
  if (error instanceof MeshError) return error;
  const message = messageOf(error).split('\n')[0] ?? '';
  if (['ENOSPC', 'EIO', 'EMFILE', 'ENOENT', 'EACCES'].includes(codeOf(error) ?? '')) {
    return new MeshError('image.io', message, { cause: error, retriable: true });
  }
  if (/pixel limit/i.test(message)) return imageFault('image.pixels_limit', message, error);
  if (/does not contain page|bad page number/i.test(message)) {
    return imageFault('image.no_such_page', message, error);
  }
  if (truncation.test(messageOf(error))) {
    return imageFault('image.truncated', `the file ends too early: ${message}`, error);
  }
  return imageFault('image.damaged', message, error);
}
