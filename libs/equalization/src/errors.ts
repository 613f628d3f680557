/** What can be wrong with an equalization. The domain layer knows no platform, hence an error class of its own. */

export type EqualizationFault =
  | 'equalization.unsupported'
  | 'equalization.bad_raster'
  | 'equalization.too_many_pixels'
  | 'equalization.chunk_unknown'
  | 'equalization.chunk_conflict'
  | 'equalization.incomplete'
  | 'equalization.damaged';

/** An error with a stable `code`; never retriable: the same input gives the same answer. */
export class EqualizationError extends Error {
  readonly code: EqualizationFault;
  readonly retriable = false;

  constructor(code: EqualizationFault, message: string) {
    super(message);
    this.name = 'EqualizationError';
    this.code = code;
  }
}
