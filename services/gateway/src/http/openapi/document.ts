/**
 * The OpenAPI document of the gateway's address: its own routes, and those that it passes on, from
 * the documents of the services behind it.
 */
import { ProblemDocument } from '@thermomesh/contracts';
import {
  equalizerDocument,
  type OpenApiDocument,
  type OpenApiMedia,
  type OpenApiOperation,
  type OpenApiParameter,
  type OpenApiResponse,
} from '@thermomesh/contracts/openapi';
import { readingsOperations } from '../../readings-api/http/operations.ts';
import { exampleOf, type ExampleSchema } from './example.ts';
import { problemResponses } from './problems.ts';
import { summaries, tagOf } from './summaries.ts';

/** Returns whether the gateway has a route; `url` as Fastify writes it. */
export type HasRoute = (method: string, url: string) => boolean;

const info = `One address for everything that callers of the mesh may ask.

Send \`Authorization: Bearer <key>\`; \`mesh api-key create\` makes a key. Each operation names the
scope that the key must have. Every error is a problem document (RFC 9457) with a stable \`code\`.
Times are RFC 3339 or Unix milliseconds (\`…Ms\`).`;

/** Completes the document that the gateway's own routes have made. */
export function completeDocument(own: OpenApiDocument, hasRoute: HasRoute): OpenApiDocument {
  const paths: OpenApiDocument['paths'] = {};
  const put = (method: string, path: string, operation: OpenApiOperation, proxied = false) => {
    (paths[path] ??= {})[method.toLowerCase()] = complete(method, path, operation, proxied);
  };
  for (const [method, path, operation] of systemOperations)
    if (hasRoute(method, path.replaceAll(/\{([^}]+)\}/g, ':$1'))) put(method, path, operation);
  for (const { method, path, operation } of operationsOf(own)) put(method, path, operation);
  for (const { method, path, operation } of readingsOperations()) put(method, path, operation, true);
  for (const { method, path, operation } of operationsOf(equalizerDocument))
    if (path.startsWith('/v1/jobs')) put(method, path, operation);
  const tags = new Set(Object.keys(paths).map(tagOf));
  return {
    ...own,
    info: { ...own.info, description: info },
    tags: [...tags].map((name) => ({ name })),
    paths,
    components: {
      securitySchemes: {
        key: { type: 'http', scheme: 'bearer', description: 'An API key with the scope of the operation.' },
      },
      schemas: { Problem: ProblemDocument },
    },
  };
}

/** Every operation of a document, with its method in capitals. */
export function operationsOf(
  document: OpenApiDocument,
): { method: string; path: string; operation: OpenApiOperation }[] {
  return Object.entries(document.paths).flatMap(([path, methods]) =>
    Object.entries(methods).map(([method, operation]) => ({ method: method.toUpperCase(), path, operation })),
  );
}

function complete(
  method: string,
  path: string,
  operation: OpenApiOperation,
  proxied: boolean,
): OpenApiOperation {
  const { parameters = [], requestBody, responses = {}, ...rest } = operation;
  const summary = operation.summary ?? summaries[`${method} ${path}`] ?? '';
  const problems = problemResponses(method, path, operation, proxied);
  const answers = Object.entries(responses).map(([status, response]) => [status, answerOf(status, response)]);
  return {
    operationId: idOf(method, path),
    tags: [tagOf(path)],
    ...rest,
    summary,
    ...(parameters.length === 0 ? {} : { parameters: parameters.map(withExample) }),
    ...(requestBody === undefined
      ? {}
      : {
          requestBody: {
            ...requestBody,
            required: isRequired(requestBody.content),
            content: withExamples(requestBody.content),
          },
        }),
    responses: { ...(Object.fromEntries(answers) as Record<string, OpenApiResponse>), ...problems },
  };
}

/** A body may be missing if its schema allows null. */
function isRequired(content: Record<string, OpenApiMedia>): boolean {
  return !Object.values(content).some(({ schema = {} }) =>
    ((schema as ExampleSchema).anyOf ?? []).some(({ type }) => type === 'null'),
  );
}

/** A caller may leave out a parameter that has a default. */
function withExample(parameter: OpenApiParameter): OpenApiParameter {
  const schema = (parameter.schema ?? {}) as ExampleSchema;
  const required = parameter.required === true && schema.default === undefined;
  // A cursor is only what a page has given.
  const example = parameter.name === 'cursor' ? {} : { example: exampleOf(schema, parameter.name) };
  return { ...parameter, required, ...example };
}

const statusTexts: Readonly<Record<string, string>> = {
  200: 'OK.',
  201: 'Created, or created before under the same key.',
  202: 'Accepted: it will be done.',
  204: 'Nothing more.',
};

function answerOf(status: string, response: OpenApiResponse): OpenApiResponse {
  const { content } = response;
  const isGeneric = response.description === 'Default Response';
  const description = isGeneric ? (statusTexts[status] ?? 'OK.') : response.description;
  return { ...response, description, ...(content === undefined ? {} : { content: withExamples(content) }) };
}

/** Only JSON and forms have examples: others are images, streams and text. */
function withExamples(content: Record<string, OpenApiMedia>): Record<string, OpenApiMedia> {
  return Object.fromEntries(
    Object.entries(content).map(([type, media]) => {
      const shown = type === 'application/json' || type === 'multipart/form-data';
      if (!shown || media.schema === undefined || media.example !== undefined) return [type, media];
      return [type, { ...media, example: exampleOf(media.schema) }];
    }),
  );
}

/** `getDevicesByDeviceIdReadings` for `GET /v1/devices/{deviceId}/readings`. */
function idOf(method: string, path: string): string {
  const words = path
    .split('/')
    .filter((part) => part !== '' && part !== 'v1')
    .map((part) => (part.startsWith('{') ? `By-${part.slice(1, -1)}` : part))
    .flatMap((part) => part.split(/[-.]/))
    .map((word) => word.charAt(0).toUpperCase() + word.slice(1));
  return method.toLowerCase() + (words.length === 0 ? 'Index' : words.join(''));
}

const json = (description: string, schema: object = { type: 'object' }): OpenApiResponse => ({
  description,
  content: { 'application/json': { schema } },
});
const text = (description: string, ...types: string[]): OpenApiResponse => ({
  description,
  content: Object.fromEntries(types.map((type) => [type, { schema: { type: 'string' } }])),
});
const readiness = {
  type: 'object',
  required: ['ready'],
  properties: {
    ready: { type: 'boolean' },
    reasons: { type: 'object', additionalProperties: { type: 'string' } },
  },
};
const isPublic = { security: [] };

/** Routes that every service has, and the list of routes: they need no key. */
const systemOperations: readonly (readonly [string, string, OpenApiOperation])[] = [
  [
    'GET',
    '/',
    {
      ...isPublic,
      responses: {
        200: {
          description: 'Links and routes.',
          content: {
            'application/json': { schema: { type: 'object' } },
            'text/html': { schema: { type: 'string' } },
          },
        },
      },
    },
  ],
  [
    'GET',
    '/livez',
    {
      ...isPublic,
      responses: { 200: json('It lives.', { type: 'object', properties: { alive: { const: true } } }) },
    },
  ],
  [
    'GET',
    '/readyz',
    {
      ...isPublic,
      responses: {
        200: json('It is ready.', readiness),
        503: json('It is not ready; `reasons` says why.', readiness),
      },
    },
  ],
  ['GET', '/metrics', { ...isPublic, responses: { 200: text('Metrics.', 'text/plain') } }],
  ['GET', '/openapi.json', { ...isPublic, responses: { 200: json('An OpenAPI 3.1 document.') } }],
  [
    'GET',
    '/errors',
    { ...isPublic, summary: 'Every error code.', responses: { 200: text('The list.', 'text/markdown') } },
  ],
  [
    'GET',
    '/errors/{code}',
    {
      ...isPublic,
      summary: 'What an error code means, and what to do.',
      parameters: [{ name: 'code', in: 'path', required: true, schema: { type: 'string' } }],
      responses: { 200: text('The page.', 'text/markdown') },
    },
  ],
];
