/** Every error code of image files and spools. */
import { defineErrors } from '@thermomesh/runtime';

/** An invalid image is never retriable, because the same bytes are refused again. */
export const { codes: errorCodes, error: imageError } = defineErrors({
  'image.bytes_limit': { retriable: false },
  'image.damaged': { retriable: false },
  'image.io': { retriable: true },
  'image.metadata_limit': { retriable: false },
  'image.no_such_page': { retriable: false },
  'image.not_an_image': { retriable: false },
  'image.outside': { retriable: false },
  'image.pixels_limit': { retriable: false },
  'image.spool_damaged': { retriable: false },
  'image.truncated': { retriable: false },
  'image.unencodable': { retriable: false },
  'image.unsupported_colour': { retriable: false },
  'image.unsupported_depth': { retriable: false },
  'image.unsupported_layout': { retriable: false },
});

export type ImageErrorCode = keyof typeof errorCodes;
