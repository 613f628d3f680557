/** What can be wrong with an image, as codes that callers answer with. */
import { MeshError } from '@thermomesh/runtime';

export type ImageFault =
  | 'image.not_an_image'
  | 'image.truncated'
  | 'image.damaged'
  | 'image.bytes_limit'
  | 'image.pixels_limit'
  | 'image.metadata_limit'
  | 'image.unsupported_depth'
  | 'image.unsupported_colour'
  | 'image.no_such_page'
  | 'image.unencodable'
  | 'image.spool_damaged'
  | 'image.outside';

/** An image that is refused: never retriable, because the same bytes are refused again. */
export function imageFault(code: ImageFault, message: string, cause?: unknown): MeshError {
  return new MeshError(code, message, { cause, retriable: false });
}
