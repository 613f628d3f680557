/**
 * The HTTP API that every service shares: health, metrics, access by bearer token, problem
 * documents and OpenAPI.
 */
import type { Socket } from 'node:net';
import swagger, { type SwaggerTransform, type SwaggerTransformObject } from '@fastify/swagger';
import type { TypeBoxTypeProvider } from '@fastify/type-provider-typebox';
import { ambiguityIn } from '@thermomesh/contracts';
import fastify, {
  type FastifyBaseLogger,
  type FastifyInstance,
  type FastifyReply,
  type FastifyRequest,
} from 'fastify';
import type { CallerGatekeeper, Gatekeeper } from './access.ts';
import { readErrorPages } from './error-pages.ts';
import { messageOf } from './errors.ts';
import type { Health } from './health.ts';
import type { Log } from './log.ts';
import type { Metrics } from './metrics.ts';
import { portError } from './ports.ts';
import { answerTo, errorPagesDefault, HttpError, problemOf, titleOf } from './problems.ts';
import { requestIdHeaders, requestIdOf, withRequestId } from './request-context.ts';
import type { ApiScope } from './scopes.ts';
import { compileValidator, refuseUnknownNames, shown } from './validation.ts';

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
  /** Address of the pages that explain the error codes; a code is appended to it. */
  errorPages?: string;
  /** Completes the OpenAPI document that the routes have made. */
  completeDocument?: (document: object) => object;
  /** Adds hooks that run before the access check, such as a rate limit per address. */
  beforeAccess?: (app: HttpApp) => Promise<void>;
}

/** Retry-After of a 429 or 503 without a pause of its own: the mesh recovers within seconds. */
const retryAfterSecondsDefault = 1;
const bodyBytesMaxDefault = 64 * 1024;
const problemType = 'application/problem+json; charset=utf-8';

/**
 * Makes a fastify app with the public routes `/livez`, `/readyz`, `/metrics`, `/openapi.json` and
 * `/errors/<code>`.
 * Every other route requires a bearer token with the scope of the route, and answers errors with
 * RFC 9457 problem documents. Routes are added before `listen`.
 */
export async function createHttpApp(options: HttpOptions): Promise<HttpApp> {
  const pages = options.errorPages ?? errorPagesDefault;
  const app = fastify({
    // Answers and failures are logged below.
    logger: false,
    genReqId: ({ headers }) => requestIdOf(headers),
    bodyLimit: options.bodyBytesMax ?? bodyBytesMaxDefault,
    requestTimeout: options.requestTimeoutMs ?? 30_000,
    forceCloseConnections: true,
    // Such as a path that no decoder reads: hooks and routes are not reached.
    frameworkErrors: (error, request, reply) => {
      nameRequest(request, reply);
      answer(error, { pages, request, reply, bodyBytesMax: 0 });
    },
    clientErrorHandler: (error, socket) => answerMalformed(error, socket, pages),
  })
    .withTypeProvider<TypeBoxTypeProvider>()
    .setValidatorCompiler(compileValidator) as unknown as HttpApp;
  app.addHook('onRoute', refuseUnknownNames);
  await app.register(swagger, {
    transform: withScope,
    ...(options.completeDocument === undefined ? {} : { transformObject: completing(options) }),
    openapi: {
      openapi: '3.1.0',
      info: { title: options.title, version: options.version },
      components: { securitySchemes: { key: { type: 'http', scheme: 'bearer' } } },
      security: [{ key: [] }],
    },
  });
  identifyRequests(app, options.log);
  readBodies(app);
  await options.beforeAccess?.(app);
  guard(app, options.gatekeeper);
  answerProblems(app, options, pages);
  addHealthRoutes(app, options);
  addErrorPages(app);
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

/** Gives every request an id, which its answer and the lines that it causes in the log carry. */
function identifyRequests(app: HttpApp, log: Log): void {
  app.addHook('onRequest', (request, reply, done) => {
    nameRequest(request, reply);
    withRequestId(request.id, done);
  });
  // The events of a body's socket belong to no request: the id is set again behind them.
  app.addHook('preValidation', (request, _reply, done) => withRequestId(request.id, done));
  app.addHook('onResponse', async (request, reply) => {
    const { method } = request;
    const isRead = method === 'GET' || method === 'HEAD' || method === 'OPTIONS';
    log[isRead ? 'debug' : 'info']({
      event: 'http.answered',
      requestId: request.id,
      method,
      route: request.routeOptions.url ?? null,
      status: reply.statusCode,
      durationMs: Math.round(reply.elapsedTime),
    });
  });
}

function nameRequest(request: FastifyRequest, reply: FastifyReply): void {
  for (const name of requestIdHeaders) void reply.header(name, request.id);
}

function completing({ completeDocument = (document) => document }: HttpOptions): SwaggerTransformObject {
  return (made) => completeDocument('openapiObject' in made ? made.openapiObject : {});
}

/** Names the scope of a route in its operation: a role of the scheme `key` (OpenAPI 3.1). */
const withScope: SwaggerTransform = ({ schema, url, route }) => {
  const access = route.config?.access ?? 'read';
  const security = access === 'public' ? [] : [{ key: [access] }];
  return { schema: { ...schema, security }, url };
};

/** Refuses JSON that would be read as something else than the caller has sent. */
function readBodies(app: HttpApp): void {
  // Text would reach routes as a string, and be refused for its schema.
  app.removeContentTypeParser('text/plain');
  const parse = app.getDefaultJsonParser('error', 'error');
  app.addContentTypeParser('application/json', { parseAs: 'buffer' }, (request, body, done) => {
    const bytes = Buffer.from(body as Buffer);
    void parse(request, bytes.toString('utf8'), (error, value) => {
      const ambiguity = error === null ? ambiguityIn(bytes) : undefined;
      if (ambiguity === undefined) done(error, value);
      else done(new HttpError(400, 'http.bad_body', `the body ${ambiguity}`, { in: 'body' }), undefined);
    });
  });
}

function guard(app: HttpApp, gatekeeper: Gatekeeper): void {
  app.addHook('onRequest', async (request) => {
    const needed = request.routeOptions.config.access ?? 'read';
    if (needed === 'public' || request.is404) return;
    const bearer = bearerOf(request);
    const scopes = gatekeeper.scopesOf(bearer);
    if (scopes === undefined) throw refusalOf(gatekeeper, bearer);
    if (!scopes.includes(needed))
      throw new HttpError(
        403,
        'access.scope',
        `this key lacks the scope "${needed}": it has ${scopes.join(', ')}`,
        { ...inKey, allowed: [needed] },
      );
  });
}

const inKey = { param: 'authorization', in: 'header' } as const;

/** The answer to a token that is not valid: the holder of an old key learns what became of it. */
function refusalOf(gatekeeper: Gatekeeper, bearer: string): HttpError {
  const refusal = gatekeeper.refusalOf?.(bearer);
  if (refusal !== undefined) return new HttpError(401, refusal.code, refusal.detail, inKey);
  const detail = 'send "Authorization: Bearer <key>"; mesh api-key create makes one';
  return new HttpError(401, 'access.unknown_key', detail, inKey);
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

function answerProblems(app: HttpApp, { log, bodyBytesMax }: HttpOptions, pages: string): void {
  const place = { pages, bodyBytesMax: bodyBytesMax ?? bodyBytesMaxDefault };
  app.setNotFoundHandler((request, reply) => {
    const { method } = request;
    const path = request.url.split('?', 1)[0] ?? '';
    const error = new HttpError(404, 'http.not_found', `no route ${method} ${shown(path)}`, { in: 'path' });
    answer(error, { ...place, request, reply });
  });
  app.setErrorHandler((error, request, reply) => {
    const { status } = answer(error, { ...place, request, reply });
    if (status >= 500 && !(error instanceof HttpError))
      log.error({
        event: 'http.failed',
        requestId: request.id,
        route: request.routeOptions.url,
        method: request.method,
        err: error,
      });
  });
}

interface AnswerPlace {
  pages: string;
  request: FastifyRequest;
  reply: FastifyReply;
  bodyBytesMax: number;
}

/** Sends the problem document of an error, and returns what was answered. */
function answer(error: unknown, { pages, request, reply, bodyBytesMax }: AnswerPlace): HttpError {
  const { consumes } = (request.routeOptions.schema ?? {}) as { consumes?: string[] };
  const answered = answerTo(error, { bytesMax: bodyBytesMax, mediaTypes: consumes ?? ['application/json'] });
  const { status, retryAfterSeconds } = answered;
  if (status === 401) void reply.header('www-authenticate', 'Bearer');
  const isTemporary = status === 429 || status === 503;
  if (retryAfterSeconds !== undefined || (isTemporary && !reply.hasHeader('retry-after')))
    void reply.header('retry-after', String(retryAfterSeconds ?? retryAfterSecondsDefault));
  void reply
    .code(status)
    .type(problemType)
    .send(problemOf(answered, pages, request.id));
  return answered;
}

/** Answers bytes that are no HTTP request, and closes the connection. */
function answerMalformed(error: Error & { code?: string }, socket: Socket, pages: string): void {
  if (error.code === 'ECONNRESET' || socket.destroyed) return;
  const status = statusOfMalformed(error.code);
  const body = JSON.stringify(problemOf(new HttpError(status, 'http.malformed', messageOf(error)), pages));
  const head = [
    `HTTP/1.1 ${status} ${titleOf(status)}`,
    `content-type: ${problemType}`,
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

/** Adds the pages to which the `type` of a problem document leads. They need no key. */
function addErrorPages(app: HttpApp): void {
  const pages = readErrorPages();
  const hidden = { schema: { hide: true }, config: { access: 'public' } } as const;
  const markdown = 'text/markdown; charset=utf-8';
  app.get('/errors', hidden, async (_request, reply) => reply.type(markdown).send(pages?.all ?? ''));
  app.get<{ Params: { code: string } }>('/errors/:code', hidden, async ({ params }, reply) => {
    const entry = pages?.entries.get(params.code);
    if (entry === undefined) throw new HttpError(404, 'http.not_found', `no page of ${shown(params.code)}`);
    return reply.type(markdown).send(entry);
  });
}

function addHealthRoutes(app: HttpApp, { health, metrics }: HttpOptions): void {
  const hidden = { schema: { hide: true }, config: { access: 'public' } } as const;
  app.get('/livez', hidden, async () => ({ alive: true }));
  app.get('/readyz', hidden, async (_request, reply) => {
    const readiness = health.readiness();
    if (!readiness.ready) void reply.header('retry-after', String(retryAfterSecondsDefault));
    return reply.code(readiness.ready ? 200 : 503).send(readiness);
  });
  app.get('/metrics', hidden, async (_request, reply) =>
    reply.type(metrics.registry.contentType).send(await metrics.registry.metrics()),
  );
  app.get('/openapi.json', hidden, async () => app.swagger());
}
