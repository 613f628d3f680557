/** The base class of all errors of the mesh, and closed lists of error codes. */

export interface MeshErrorOptions {
  cause?: unknown;
  /** True if the same call may succeed later. */
  retriable?: boolean;
}

/**
 * An error with a stable `code` (dotted, lower case). Adapters classify the errors of their
 * libraries; the core decides what to do about them.
 */
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

/** The entry of one error code in the list of its package. */
export interface ErrorCode {
  /** Whether the same call may succeed later; with `depends` each throw decides. */
  retriable: boolean | 'depends';
}

/** Options of a throw. Only a code with the entry `depends` takes `retriable`, and requires it. */
type ThrowOptions<Code extends ErrorCode> = { cause?: unknown } & (Code['retriable'] extends boolean
  ? { retriable?: never }
  : { retriable: boolean });

/**
 * Defines the closed list of the error codes of one package, and a function that makes its errors.
 * `docs/telemetry.md` lists the same codes.
 * @param codes maps each code (dotted, lower case) to whether it is retriable
 */
export function defineErrors<const Codes extends Record<string, ErrorCode>>(codes: Codes) {
  /** Makes an error with one of the listed codes. */
  const error = <Code extends keyof Codes & string>(
    code: Code,
    message: string,
    ...[options]: Codes[Code]['retriable'] extends boolean
      ? [ThrowOptions<Codes[Code]>?]
      : [ThrowOptions<Codes[Code]>]
  ): MeshError => {
    const listed = codes[code]?.retriable;
    const retriable = listed === 'depends' ? options?.retriable === true : listed === true;
    return new MeshError(code, message, { cause: options?.cause, retriable });
  };
  return { codes, error };
}

/** The message of an error, or the text of any other thrown value. */
export function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

/** The `code` of an error of the mesh, of Node or of a driver; undefined if it has none. */
export function codeOf(error: unknown): string | undefined {
  if (typeof error !== 'object' || error === null || !('code' in error)) return undefined;
  return typeof error.code === 'string' ? error.code : undefined;
}

/** The error codes of this package, HTTP problem codes included. */
export const { codes: errorCodes, error: runtimeError } = defineErrors({
  'access.scope': { retriable: false },
  'access.unknown_key': { retriable: false },
  'config.invalid': { retriable: false },
  'http.bad_body': { retriable: false },
  'http.bad_cursor': { retriable: false },
  'http.error': { retriable: false },
  'http.malformed': { retriable: false },
  'http.not_found': { retriable: false },
  'port.not_permitted': { retriable: false },
  'port.taken': { retriable: false },
  'seal.unreadable': { retriable: false },
});
