/** The base class of all errors of the mesh, and closed lists of error codes. */

export interface MeshErrorOptions {
  cause?: unknown;
  /** True if the same call may succeed later. */
  retriable?: boolean;
  /** The status of the HTTP answer that a route gives when it fails with this error. */
  httpStatus?: number | undefined;
}

/**
 * An error with a stable `code` (dotted, lower case). Adapters classify the errors of their
 * libraries; the core decides what to do about them.
 */
export class MeshError extends Error {
  readonly code: string;
  readonly retriable: boolean;
  /** Undefined if the code is for operators alone: callers of HTTP get a general code instead. */
  readonly httpStatus: number | undefined;

  constructor(code: string, message: string, options: MeshErrorOptions = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.name = 'MeshError';
    this.code = code;
    this.retriable = options.retriable ?? false;
    this.httpStatus = options.httpStatus;
  }
}

/** The entry of one error code in the list of its package. */
export interface ErrorCode {
  /** Whether the same call may succeed later; with `depends` each throw decides. */
  retriable: boolean | 'depends';
  /**
   * The status with which a problem document carries this code; missing if none does.
   * `docs/errors.md` explains the codes that have one.
   */
  http?: number;
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
    const listed = (codes as Record<string, ErrorCode>)[code];
    const retriable =
      listed?.retriable === 'depends' ? options?.retriable === true : listed?.retriable === true;
    return new MeshError(code, message, { cause: options?.cause, retriable, httpStatus: listed?.http });
  };
  return { codes, error };
}

/** The message of an error, or the text of any other thrown value. */
export function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

/** What an operator does about an error of the file system. */
const remedies: Record<string, string> = {
  EACCES: 'this user may not use it: change its owner or mode, or name another folder',
  EPERM: 'this user may not use it: change its owner or mode, or name another folder',
  ENOTDIR: 'a part of this path is a file, not a folder: remove it, or name another folder',
  EROFS: 'the file system is read-only: name another folder',
  ENOSPC: 'the disk is full: free some space, or name another folder',
  EDQUOT: 'the quota of this user is used up: free some space, or name another folder',
  EMFILE: 'this process has too many open files: raise its limit (ulimit -n)',
};

/**
 * The message of an error that ends a start. For an error of the file system it names the path and
 * what to do.
 */
export function startErrorText(error: unknown): string {
  const remedy = remedies[codeOf(error) ?? ''];
  const path = (error as { path?: unknown } | undefined)?.path;
  if (remedy === undefined || typeof path !== 'string') return messageOf(error);
  return `${messageOf(error)}: ${path} cannot be used; ${remedy}`;
}

/** The `code` of an error of the mesh, of Node or of a driver; undefined if it has none. */
export function codeOf(error: unknown): string | undefined {
  if (typeof error !== 'object' || error === null || !('code' in error)) return undefined;
  return typeof error.code === 'string' ? error.code : undefined;
}

/** The error codes of this package, HTTP problem codes included. */
export const { codes: errorCodes, error: runtimeError } = defineErrors({
  /** The key was valid, and has expired. */
  'access.expired_key': { retriable: false, http: 401 },
  /** `mesh api-key` names a key that does not exist or is no longer valid. */
  'access.no_such_key': { retriable: false },
  'access.revoked_key': { retriable: false, http: 401 },
  /** The secret was replaced by a rotation, and its grace time has passed. */
  'access.rotated_key': { retriable: false, http: 401 },
  'access.scope': { retriable: false, http: 403 },
  'access.unknown_key': { retriable: false, http: 401 },
  'config.invalid': { retriable: false },
  /** The body is not valid JSON, or would be read as something else than was sent. */
  'http.bad_body': { retriable: false, http: 400 },
  'http.bad_cursor': { retriable: false, http: 400 },
  /** The path of the URL cannot be decoded. */
  'http.bad_url': { retriable: false, http: 400 },
  'http.body_too_large': { retriable: false, http: 413 },
  /** The service failed; its log has the reason. */
  'http.error': { retriable: false, http: 500 },
  'http.invalid_parameter': { retriable: false, http: 400 },
  /** The bytes are no HTTP request; 408 if they came too slowly, 431 if the head is too large. */
  'http.malformed': { retriable: false, http: 400 },
  'http.missing_parameter': { retriable: false, http: 400 },
  'http.not_found': { retriable: false, http: 404 },
  /** A part of the mesh that the route needs does not answer now. */
  'http.unavailable': { retriable: true, http: 503 },
  'http.unknown_parameter': { retriable: false, http: 400 },
  'http.unsupported_media_type': { retriable: false, http: 415 },
  'http.uri_too_long': { retriable: false, http: 414 },
  'port.not_permitted': { retriable: false },
  'port.taken': { retriable: false },
  'seal.unreadable': { retriable: false },
});
