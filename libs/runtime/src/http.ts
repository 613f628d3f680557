/**
 * The HTTP API that every service shares: health, metrics, access by bearer token, problem
 * documents and OpenAPI.
 */
import type { Socket } from 'node:net';
import swagger from '@fastify/swagger';
import { TypeBoxValidatorCompiler, type TypeBoxTypeProvider } from '@fastify/type-provider-typebox';
import { ambiguityIn, type ProblemDocument } from '@thermomesh/contracts';
import fastify, {
  type FastifyBaseLogger,
  type FastifyError,
  type FastifyInstance,
  type FastifyReply,
  type FastifyRequest,
} from 'fastify';
import type { ApiScope, CallerGatekeeper, Gatekeeper } from './access.ts';
import type { TObject } from 'typebox';
import { Value } from 'typebox/value';
import { MeshError, messageOf } from './errors.ts';
import type { Health } from './health.ts';
import type { Log } from './log.ts';
import type { Metrics } from './metrics.ts';
import { portError } from './ports.ts';

declare module 'fastify' {
  interface FastifyContextConfig {
    /** The scope that the caller's key must have; `public` needs no key. Default `read`. */
    access?: ApiScope | 'public';
  }
}

export type HttpApp = FastifyInstance<never, never, never, FastifyBaseLogger, TypeBoxTypeProvider>;

/** The types that helpers of routes take; routes themselves infer them. */
export type HttpReply = FastifyReply;
export type HttpRequest = FastifyRequest;

export interface HttpOptions {
  title: string;
  version: string;
  log: Log;
  health: Health;
  metrics: Metrics;
  gatekeeper: Gatekeeper;
  bodyBytesMax?: number;
  requestTimeoutMs?: number;
  /** Adds hooks that run before the access check, such as a rate limit per address. */
  beforeAccess?: (app: HttpApp) => Promise<void>;
}

/** Retry-After of a 503 without a pause of its own: parts of the mesh recover within seconds. */
const retryAfterSecondsDefault = 1;

/**
 * An error with an HTTP status, for routes; it becomes a problem document. It is a deliberate
 * answer and is not logged.
 */
export class HttpError extends MeshError {
  readonly status: number;
  /** Value of the header Retry-After. */
  readonly retryAfterSeconds: number | undefined;

  constructor(
    status: number,
    code: string,
    message: string,
    options: { retryAfterSeconds?: number; cause?: unknown } = {},
  ) {
    super(code, message, { cause: options.cause });
    this.status = status;
    this.retryAfterSeconds = options.retryAfterSeconds;
  }
}

/**
 * Makes a fastify app with the public routes `/livez`, `/readyz`, `/metrics` and `/openapi.json`.
 * Every other route requires a bearer token with the scope of the route, and answers errors with
 * RFC 9457 problem documents. Routes are added before `listen`.
 */
export async function createHttpApp(options: HttpOptions): Promise<HttpApp> {
  const app = fastify({
    // Metrics and proxies record requests; failures are logged below.
    logger: false,
    bodyLimit: options.bodyBytesMax ?? 64 * 1024,
    requestTimeout: options.requestTimeoutMs ?? 30_000,
    forceCloseConnections: true,
    // Such as a path that no decoder reads: hooks and routes are not reached.
    frameworkErrors: answerFrameworkError,
    clientErrorHandler: answerMalformed,
  })
    .withTypeProvider<TypeBoxTypeProvider>()
    .setValidatorCompiler(compileValidator) as unknown as HttpApp;
  await app.register(swagger, {
    openapi: {
      openapi: '3.1.0',
      info: { title: options.title, version: options.version },
      components: { securitySchemes: { key: { type: 'http', scheme: 'bearer' } } },
      security: [{ key: [] }],
    },
  });
  readBodies(app);
  await options.beforeAccess?.(app);
  guard(app, options.gatekeeper);
  answerProblems(app, options.log);
  addHealthRoutes(app, options);
  return app;
}

/**
 * Listens and returns the URL that callers use.
 * @param setting the name of the setting that gives the port
 * @throws MeshError `port.taken`, which names the process that holds the port; `port.not_permitted`
 */
export async function listen(
  app: HttpApp,
  host: string,
  port: number,
  setting = 'HTTP_PORT',
): Promise<string> {
  try {
    return await app.listen({ host, port });
  } catch (error) {
    throw portError(error, port, setting) ?? error;
  }
}

/**
 * Validates without the conversions of TypeBox, which read `1.5`, `0x10` and `true` as whole
 * numbers. In a query, a path and a header, only digits become one. A query gets its defaults.
 */
const compileValidator: typeof TypeBoxValidatorCompiler = (route) => {
  const validate = TypeBoxValidatorCompiler({ ...route, httpPart: 'body' });
  if (route.httpPart === 'body') return validate;
  return (value) => {
    const converted = withIntegers(route.schema, value as Record<string, unknown>);
    return validate(route.httpPart === 'querystring' ? Value.Default(route.schema, converted) : converted);
  };
};

function withIntegers(
  { properties = {} }: Partial<TObject>,
  values: Record<string, unknown>,
): Record<string, unknown> {
  const converted = Object.entries(values).map(([name, value]): [string, unknown] => {
    const schema = Object.hasOwn(properties, name) ? properties[name] : undefined;
    const isInteger = schema !== undefined && 'type' in schema && schema.type === 'integer';
    return isInteger && typeof value === 'string' && /^-?\d{1,16}$/.test(value)
      ? [name, Number(value)]
      : [name, value];
  });
  return Object.fromEntries(converted);
}

/** Refuses JSON that would be read as something else than the caller has sent. */
function readBodies(app: HttpApp): void {
  const parse = app.getDefaultJsonParser('error', 'error');
  app.addContentTypeParser('application/json', { parseAs: 'buffer' }, (request, body, done) => {
    const bytes = Buffer.from(body as Buffer);
    void parse(request, bytes.toString('utf8'), (error, value) => {
      const ambiguity = error === null ? ambiguityIn(bytes) : undefined;
      if (ambiguity === undefined) done(error, value);
      else done(new HttpError(400, 'http.bad_body', `the body ${ambiguity}`), undefined);
    });
  });
}

function guard(app: HttpApp, gatekeeper: Gatekeeper): void {
  app.addHook('onRequest', async (request) => {
    const needed = request.routeOptions.config.access ?? 'read';
    if (needed === 'public' || request.is404) return;
    const scopes = gatekeeper.scopesOf(bearerOf(request));
    if (scopes === undefined) {
      throw new HttpError(
        401,
        'access.unknown_key',
        'send "Authorization: Bearer <key>"; mesh api-key create makes one',
      );
    }
    if (!scopes.includes(needed))
      throw new HttpError(403, 'access.scope', `this key lacks the scope "${needed}"`);
  });
}

/** The bearer token of a request; empty if it has none. */
export function bearerOf(request: FastifyRequest): string {
  // The name of the scheme has no case (RFC 9110, 11.1).
  return /^bearer +(.*)$/i.exec(request.headers.authorization ?? '')?.[1] ?? '';
}

/**
 * The name of the caller whose bearer token the request carries.
 * @throws HttpError 401 `access.unknown_key` if the token belongs to no caller
 */
export function requireCaller(gatekeeper: CallerGatekeeper, request: FastifyRequest): string {
  const caller = gatekeeper.callerOf(bearerOf(request));
  if (caller === undefined) throw new HttpError(401, 'access.unknown_key', 'this key names no caller');
  return caller;
}

function answerProblems(app: HttpApp, log: Log): void {
  app.setNotFoundHandler((request, reply) => {
    void reply
      .code(404)
      .type('application/problem+json')
      .send(problem(404, 'http.not_found', `no route ${request.method} ${request.url}`));
  });
  app.setErrorHandler((error: FastifyError | MeshError, request, reply) => {
    const status =
      error instanceof HttpError
        ? error.status
        : 'statusCode' in error
          ? (error.statusCode ?? 500)
          : statusOf(error);
    if (status >= 500 && !(error instanceof HttpError))
      log.error({
        event: 'http.failed',
        route: request.routeOptions.url,
        method: request.method,
        err: error,
      });
    const code = error instanceof MeshError ? error.code : (error.code ?? 'http.error');
    // The message of a server error may reveal internals: the log has it, the caller gets the code.
    const detail =
      status >= 500 && status !== 503 ? 'the request failed; see the log of the service' : messageOf(error);
    if (status === 401) void reply.header('www-authenticate', 'Bearer');
    const retryAfterSeconds = error instanceof HttpError ? error.retryAfterSeconds : undefined;
    if (retryAfterSeconds !== undefined || (status === 503 && !reply.hasHeader('retry-after')))
      void reply.header('retry-after', String(retryAfterSeconds ?? retryAfterSecondsDefault));
    void reply
      .code(status)
      .type('application/problem+json')
      .send(problem(status, code, detail));
  });
}

/** Answers bytes that are no HTTP request, and closes the connection. */
function answerMalformed(error: Error & { code?: string }, socket: Socket): void {
  if (error.code === 'ECONNRESET' || socket.destroyed) return;
  const status = statusOfMalformed(error.code);
  const body = JSON.stringify(problem(status, 'http.malformed', messageOf(error)));
  const head = [
    `HTTP/1.1 ${status} ${titles[status]}`,
    'content-type: application/problem+json; charset=utf-8',
    `content-length: ${Buffer.byteLength(body)}`,
    'connection: close',
  ];
  if (socket.writable) socket.write(`${head.join('\r\n')}\r\n\r\n${body}`);
  socket.destroy(error);
}

function statusOfMalformed(code: string | undefined): number {
  if (code === 'ERR_HTTP_REQUEST_TIMEOUT') return 408;
  return code === 'HPE_HEADER_OVERFLOW' ? 431 : 400;
}

/** Answers what the framework refuses before a route is found. */
function answerFrameworkError(error: FastifyError, _request: unknown, reply: unknown): void {
  const status = error.statusCode ?? 400;
  void (reply as FastifyReply)
    .code(status)
    .type('application/problem+json')
    .send(problem(status, error.code, error.message));
}

function statusOf(error: unknown): number {
  return error instanceof MeshError && error.retriable ? 503 : 500;
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
  503: 'Service Unavailable',
};

function problem(status: number, code: string, detail: string): ProblemDocument {
  return {
    type: 'about:blank',
    title: titles[status] ?? (status >= 500 ? 'Server Error' : 'Error'),
    status,
    code,
    detail,
  };
}

function addHealthRoutes(app: HttpApp, { health, metrics }: HttpOptions): void {
  const hidden = { schema: { hide: true }, config: { access: 'public' } } as const;
  app.get('/livez', hidden, async () => ({ alive: true }));
  app.get('/readyz', hidden, async (_request, reply) => {
    const readiness = health.readiness();
    return reply.code(readiness.ready ? 200 : 503).send(readiness);
  });
  app.get('/metrics', hidden, async (_request, reply) =>
    reply.type(metrics.registry.contentType).send(await metrics.registry.metrics()),
  );
  app.get('/openapi.json', hidden, async () => app.swagger());
}
