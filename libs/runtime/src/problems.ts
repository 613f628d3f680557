/** Errors as RFC 9457 problem documents: the one place that builds them. */
import type { AllowedValues, ParameterPlace, ProblemDocument } from '@thermomesh/contracts';
import { codeOf, MeshError, messageOf, type errorCodes } from './errors.ts';

/** A code of this package that a problem document may carry. */
type Code = keyof typeof errorCodes;

/** What was wrong with which part of a request. */
export interface ParameterIssue {
  /** The query or path parameter, the header, or the path of the field in the body. */
  param?: string;
  in?: ParameterPlace;
  /** The values, or the bounds of the value, that are accepted. */
  allowed?: AllowedValues;
}

export interface ProblemOptions extends ParameterIssue {
  /** Value of the header Retry-After. */
  retryAfterSeconds?: number;
  /** Every issue of the request, if there are several. */
  errors?: string[];
  cause?: unknown;
}

/**
 * An error with an HTTP status, for routes; it becomes a problem document. It is a deliberate
 * answer and is not logged.
 */
export class HttpError extends MeshError {
  readonly status: number;
  /** Value of the header Retry-After. */
  readonly retryAfterSeconds: number | undefined;
  /** Which part of the request is wrong, and what is accepted there. */
  readonly issue: ParameterIssue;
  readonly errors: string[] | undefined;

  constructor(status: number, code: string, message: string, options: ProblemOptions = {}) {
    super(code, message, { cause: options.cause });
    this.status = status;
    this.retryAfterSeconds = options.retryAfterSeconds;
    const { param, in: place, allowed } = options;
    this.issue = {
      ...(param === undefined ? {} : { param }),
      ...(place === undefined ? {} : { in: place }),
      ...(allowed === undefined ? {} : { allowed }),
    };
    this.errors = options.errors;
  }
}

/** Where the pages of the codes are, without a setting: each service serves its own copy. */
export const errorPagesDefault = '/errors/';

/**
 * The problem document of an error.
 * @param pages the address to which the code is appended
 */
export function problemOf(error: HttpError, pages: string, requestId?: string): ProblemDocument {
  const { status, code, issue, errors } = error;
  return {
    type: `${pages}${code}`,
    title: titleOf(status),
    status,
    code,
    detail: messageOf(error),
    ...issue,
    ...(errors === undefined ? {} : { errors }),
    ...(requestId === undefined ? {} : { requestId }),
  };
}

/** What a route accepts as a body. */
export interface AcceptedBodies {
  bytesMax: number;
  mediaTypes: string[];
}

/**
 * The answer to an error. Callers see the codes of deliberate answers and of errors that are listed
 * for HTTP; of every other error they see a general code, because its message may reveal internals.
 * @param bodies what the route accepts as a body
 */
export function answerTo(error: unknown, bodies: AcceptedBodies): HttpError {
  if (error instanceof HttpError) return error;
  if (error instanceof MeshError) {
    const status = error.httpStatus ?? (error.retriable ? 503 : 500);
    if (error.httpStatus !== undefined && status !== 500)
      return new HttpError(status, error.code, messageOf(error), { cause: error });
    if (status === 503) {
      const detail = 'a part of the mesh that this needs does not answer now: try again';
      return new HttpError(503, 'http.unavailable' satisfies Code, detail, { cause: error });
    }
    return failed(error);
  }
  return frameworkProblem(error, bodies) ?? failed(error);
}

function failed(cause: unknown): HttpError {
  const detail = 'the request failed; the log of the service says why';
  return new HttpError(500, 'http.error' satisfies Code, detail, { cause });
}

/** What the framework refuses, with a code of ours; undefined if the framework itself failed. */
function frameworkProblem(error: unknown, { bytesMax, mediaTypes }: AcceptedBodies): HttpError | undefined {
  const status = error instanceof Error && 'statusCode' in error ? Number(error.statusCode) : 500;
  if (!(status >= 400 && status < 500)) return undefined;
  const refuse = (code: Code, detail: string, issue: ParameterIssue = {}) =>
    new HttpError(status, code, detail, { ...issue, cause: error });
  switch (codeOf(error)) {
    case 'FST_ERR_CTP_EMPTY_JSON_BODY':
      return refuse('http.bad_body', 'the body is empty: send JSON, or no content-type', { in: 'body' });
    case 'FST_ERR_CTP_INVALID_CONTENT_LENGTH':
      return refuse('http.bad_body', 'the body is not as long as content-length says', { in: 'body' });
    case 'FST_ERR_CTP_BODY_TOO_LARGE':
      return refuse('http.body_too_large', `the body may have at most ${bytesMax} bytes`, {
        in: 'body',
        allowed: { maxLength: bytesMax },
      });
    case 'FST_ERR_CTP_INVALID_MEDIA_TYPE':
      return refuse('http.unsupported_media_type', `send the body as ${mediaTypes.join(' or ')}`, {
        param: 'content-type',
        in: 'header',
        allowed: mediaTypes,
      });
    case 'FST_ERR_MAX_PARAM_LENGTH':
      return refuse('http.uri_too_long', 'a part of the path is too long', { in: 'path' });
    case 'FST_ERR_BAD_URL':
      return refuse('http.bad_url', 'the path cannot be decoded: "%" stands before two hex digits of UTF-8', {
        in: 'path',
      });
    default:
      // What is left is refused while the body is parsed, such as text that is not JSON.
      return status === 400
        ? refuse('http.bad_body', 'the body is not valid JSON', { in: 'body' })
        : refuse('http.malformed', `${titleOf(status)}: the request cannot be read`);
  }
}

const titles: Record<number, string> = {
  400: 'Bad Request',
  401: 'Unauthorized',
  403: 'Forbidden',
  404: 'Not Found',
  408: 'Request Timeout',
  409: 'Conflict',
  410: 'Gone',
  413: 'Content Too Large',
  414: 'URI Too Long',
  415: 'Unsupported Media Type',
  422: 'Unprocessable Content',
  429: 'Too Many Requests',
  431: 'Request Header Fields Too Large',
  500: 'Internal Server Error',
  503: 'Service Unavailable',
};

/** The name of a status. */
export function titleOf(status: number): string {
  return titles[status] ?? (status >= 500 ? 'Server Error' : 'Error');
}
