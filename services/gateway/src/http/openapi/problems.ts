/** The error answers of an operation, as its document names them. */
import type { OpenApiOperation, OpenApiResponse } from '@thermomesh/contracts/openapi';
import { tagOf } from './summaries.ts';

/** Codes of one operation beside those of its kind. */
const ofOperation: Readonly<Record<string, Readonly<Record<string, readonly string[]>>>> = {
  'GET /v1/devices/{deviceId}': { 404: ['devices.unknown'] },
  'POST /v1/devices/{deviceId}/incarnations': {
    400: ['devices.bad_key'],
    409: ['devices.incarnation_too_low', 'devices.no_incarnation_left'],
    422: ['devices.key_reused'],
  },
  'POST /v1/devices/{deviceId}/commands': {
    400: ['command.missing_key', 'command.bad_key', 'command.bad_parameters', 'command.bad_deadline'],
    422: ['command.other_parameters'],
    429: ['command.queue_full'],
    503: ['command.database_unsafe'],
  },
  'GET /v1/devices/{deviceId}/commands/{commandId}': { 404: ['command.unknown'] },
  'DELETE /v1/devices/{deviceId}/commands/{commandId}': {
    404: ['command.unknown'],
    409: ['command.final'],
  },
  'GET /v1/devices/{deviceId}/commands/{commandId}/events': {
    404: ['command.unknown'],
    429: ['command.too_many_streams_of_key'],
    503: ['command.too_many_streams'],
  },
  'POST /v1/checkouts': {
    400: ['checkout.missing_key', 'checkout.bad_key'],
    422: ['checkout.other_parameters'],
    503: ['checkout.redis_down', 'checkout.redis_unsafe', 'checkout.database_unsafe', 'checkout.stopping'],
  },
  'GET /v1/checkouts/{checkoutId}': { 404: ['checkout.unknown'] },
  'GET /v1/checkouts/{checkoutId}/events': {
    404: ['checkout.unknown'],
    429: ['checkout.too_many_streams_of_key'],
    503: ['checkout.too_many_streams'],
  },
  'POST /v1/jobs': {
    400: [
      'request.invalid',
      'upload.no_file',
      'upload.two_files',
      'upload.unknown_file',
      'upload.malformed',
      'jobs.bad_key',
    ],
    413: ['image.bytes_limit', 'image.pixels_limit', 'image.metadata_limit', 'upload.too_many_parts'],
    415: ['image.not_an_image'],
    422: [
      ...['image.truncated', 'image.damaged', 'image.unsupported_depth', 'image.unsupported_colour'],
      ...['image.unsupported_layout', 'image.no_such_page', 'image.unencodable', 'equalization.unsupported'],
      'jobs.other_request',
    ],
    429: ['jobs.too_many_of_caller', 'upload.too_many_of_caller'],
    503: ['jobs.interrupted', 'jobs.too_many', 'upload.too_many', 'blob.no_space'],
  },
  'GET /v1/jobs/{id}': { 404: ['jobs.unknown'] },
  'DELETE /v1/jobs/{id}': { 404: ['jobs.unknown'] },
  'GET /v1/jobs/{id}/events': {
    404: ['jobs.unknown'],
    429: ['events.too_many_of_caller'],
    503: ['events.too_many'],
  },
  'GET /v1/jobs/{id}/result': {
    404: ['jobs.unknown'],
    409: ['jobs.not_finished'],
    410: ['jobs.no_result', 'jobs.result_gone'],
  },
};

/** Codes of every operation of a group. */
const ofTag: Readonly<Record<string, Readonly<Record<string, readonly string[]>>>> = {
  checkout: {
    429: ['http.too_many_requests'],
    503: ['checkout.off', 'checkout.database_down', 'checkout.no_schema'],
  },
  commands: {
    429: ['http.too_many_requests'],
    503: ['command.off', 'command.database_down', 'command.no_schema'],
  },
  'image jobs': { 503: ['jobs.no_equalizer', 'jobs.off', 'jobs.gateway_refused', 'jobs.unavailable'] },
};

/** Codes of every operation that an analytics node answers. */
const ofReadings = {
  429: ['readings.too_many_of_caller'],
  503: [
    'readings.no_node',
    'readings.off',
    'readings.too_many',
    'readings.gateway_refused',
    'http.unavailable',
  ],
};

const descriptions: Readonly<Record<string, string>> = {
  400: 'The request is invalid; `param` names the part, `allowed` what it may be.',
  401: 'No API key, or an unknown one.',
  403: 'The key lacks the scope.',
  404: 'There is no such thing, or it belongs to another caller.',
  409: 'Not in this state.',
  410: 'There is none, and there will be none.',
  413: 'The body is too large.',
  415: 'Another content type is needed; `allowed` names it.',
  422: 'The request contradicts an earlier one, or cannot be carried out.',
  429: 'Too much at a time; `Retry-After` says when to try again.',
  503: 'A part of the mesh does not answer now; `Retry-After` says when to try again.',
};

/**
 * The error answers of an operation by status.
 * @param proxied true if an analytics node answers it
 */
export function problemResponses(
  method: string,
  path: string,
  operation: OpenApiOperation,
  proxied: boolean,
): Record<string, OpenApiResponse> {
  const codes = new Map<string, Set<string>>();
  const add = (of: Readonly<Record<string, readonly string[]>> = {}) => {
    for (const [status, names] of Object.entries(of)) {
      const known = codes.get(status) ?? new Set();
      for (const name of names) known.add(name);
      codes.set(status, known);
    }
  };
  if (operation.security?.length !== 0) add({ 401: ['access.unknown_key'], 403: ['access.scope'] });
  if ((operation.parameters ?? []).length > 0)
    add({ 400: ['http.invalid_parameter', 'http.unknown_parameter'] });
  if (operation.requestBody !== undefined) {
    const isJson = 'application/json' in operation.requestBody.content;
    add({ 415: ['http.unsupported_media_type'] });
    if (isJson) add({ 400: ['http.bad_body', 'http.invalid_parameter'], 413: ['http.body_too_large'] });
  }
  if (proxied) add(ofReadings);
  add(ofTag[tagOf(path)]);
  add(ofOperation[`${method} ${path}`]);
  return Object.fromEntries(
    [...codes].toSorted().map(([status, names]) => [status, responseOf(status, [...names])]),
  );
}

function responseOf(status: string, codes: readonly string[]): OpenApiResponse {
  const isTemporary = status === '429' || status === '503';
  const headers = isTemporary
    ? { headers: { 'Retry-After': { description: 'Seconds to wait.', schema: { type: 'integer' } } } }
    : {};
  const examples = Object.fromEntries(
    codes.map((code) => [
      code,
      { value: { type: `/errors/${code}`, title: titles[status] ?? '', status: Number(status), code } },
    ]),
  );
  return {
    description: `${descriptions[status] ?? 'The request failed.'} Codes: ${codes.map((code) => `\`${code}\``).join(', ')}.`,
    ...headers,
    content: { 'application/problem+json': { schema: { $ref: '#/components/schemas/Problem' }, examples } },
  };
}

const titles: Readonly<Record<string, string>> = {
  400: 'Bad Request',
  401: 'Unauthorized',
  403: 'Forbidden',
  404: 'Not Found',
  409: 'Conflict',
  410: 'Gone',
  413: 'Content Too Large',
  415: 'Unsupported Media Type',
  422: 'Unprocessable Content',
  429: 'Too Many Requests',
  503: 'Service Unavailable',
};
