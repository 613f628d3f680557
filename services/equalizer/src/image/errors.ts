/** Every error code of image files and spools. */
import { defineErrors } from '@thermomesh/runtime';

/** An invalid image is never retriable, because the same bytes are refused again. */
export const { codes: errorCodes, error: imageError } = defineErrors({
  'image.bytes_limit': { retriable: false, http: 413 },
  'image.damaged': { retriable: false, http: 422 },
  'image.io': { retriable: true, http: 503 },
  'image.metadata_limit': { retriable: false, http: 413 },
  'image.no_such_page': { retriable: false, http: 422 },
  'image.not_an_image': { retriable: false, http: 415 },
  'image.outside': { retriable: false },
  'image.pixels_limit': { retriable: false, http: 413 },
  'image.spool_damaged': { retriable: false },
  'image.truncated': { retriable: false, http: 422 },
  'image.unencodable': { retriable: false, http: 422 },
  'image.unsupported_colour': { retriable: false, http: 422 },
  'image.unsupported_depth': { retriable: false, http: 422 },
  'image.unsupported_layout': { retriable: false, http: 422 },
});

export type ImageErrorCode = keyof typeof errorCodes;
