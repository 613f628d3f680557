/**
 * What can go wrong with an equalization. The domain layer does not know the platform, so it has an
 * error class of its own.
 */

/** Every code. None is retriable: the same input gives the same answer. */
export const errorCodes = {
  'equalization.unsupported': { retriable: false, http: 422 },
  'equalization.bad_raster': { retriable: false },
  'equalization.too_many_pixels': { retriable: false },
  'equalization.chunk_unknown': { retriable: false },
  'equalization.chunk_conflict': { retriable: false },
  'equalization.incomplete': { retriable: false },
  'equalization.damaged': { retriable: false },
} as const satisfies Record<string, { retriable: boolean; http?: number }>;

export type EqualizationErrorCode = keyof typeof errorCodes;

/** An error with a stable `code`. The README says when each code is raised. */
export class EqualizationError extends Error {
  readonly code: EqualizationErrorCode;
  readonly retriable: boolean;

  constructor(code: EqualizationErrorCode, message: string) {
    super(message);
    this.name = 'EqualizationError';
    this.code = code;
    this.retriable = errorCodes[code].retriable;
  }
}
