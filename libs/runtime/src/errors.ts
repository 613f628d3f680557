/** The one base class of the errors that the mesh makes itself. */

export interface MeshErrorOptions {
  cause?: unknown;
  /** True if the same call may succeed later without anybody changing anything. */
  retriable?: boolean;
}

/** An error with a stable `code` (dotted, lower case), raised where an adapter meets its library, decided on in the core. */
export class MeshError extends Error {
  readonly code: string;
  readonly retriable: boolean;

  constructor(code: string, message: string, options: MeshErrorOptions = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.name = 'MeshError';
    this.code = code;
    this.retriable = options.retriable ?? false;
  }
}

/** The message of anything that was thrown. */
export function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

/** The `code` of an error, ours or Node's or a driver's; undefined if it has none. */
export function codeOf(error: unknown): string | undefined {
  if (typeof error !== 'object' || error === null || !('code' in error)) return undefined;
  return typeof error.code === 'string' ? error.code : undefined;
}
