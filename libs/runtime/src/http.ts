/** The HTTP surface that every service shares: health, metrics, bearer access, problem documents, OpenAPI. */
import swagger from '@fastify/swagger';
import { TypeBoxValidatorCompiler, type TypeBoxTypeProvider } from '@fastify/type-provider-typebox';
import type { ProblemDocument } from '@thermomesh/contracts';
import fastify, {
  type FastifyBaseLogger,
  type FastifyError,
  type FastifyInstance,
  type FastifyReply,
  type FastifyRequest,
} from 'fastify';
import type { ApiScope, Gatekeeper } from './access.ts';
import { Value } from 'typebox/value';
import { MeshError, messageOf } from './errors.ts';
import type { Health } from './health.ts';
import type { Log } from './log.ts';
import type { Metrics } from './metrics.ts';

declare module 'fastify' {
  interface FastifyContextConfig {
    /** What a caller's key must allow; `public` needs no key. Routes that do not say need `read`. */
    access?: ApiScope | 'public';
  }
}

export type HttpApp = FastifyInstance<never, never, never, FastifyBaseLogger, TypeBoxTypeProvider>;

/** What helpers of routes take; routes themselves infer it. */
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
  /** Adds what has to be looked at before anybody is asked who he is, such as a limit per address. */
  beforeAccess?: (app: HttpApp) => Promise<void>;
}

/** What a 503 says if nobody says otherwise: parts of the mesh are back within seconds. */
const retryAfterSecondsDefault = 1;

/** An error with an HTTP status, for routes; it becomes a problem document. A deliberate answer: it is not logged. */
export class HttpError extends MeshError {
  readonly status: number;
  /** Becomes the header Retry-After. */
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
 * A fastify app with `/livez`, `/readyz`, `/metrics` (public), `/openapi.json` (public) and the rules of every other route: a
 * bearer token with the route's scope, RFC 9457 problem documents. Routes are added before `listen`.
 */
export async function createHttpApp(options: HttpOptions): Promise<HttpApp> {
  const app = fastify({
    // The log of requests is the metrics' and the proxies' business; what goes wrong is logged below.
    logger: false,
    bodyLimit: options.bodyBytesMax ?? 64 * 1024,
    requestTimeout: options.requestTimeoutMs ?? 30_000,
    forceCloseConnections: true,
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
  await options.beforeAccess?.(app);
  guard(app, options.gatekeeper);
  answerProblems(app, options.log);
  addHealthRoutes(app, options);
  return app;
}

/** Listens and returns the URL that callers use. */
export async function listen(app: HttpApp, host: string, port: number): Promise<string> {
  return app.listen({ host, port });
}

/** TypeBox's own compiler converts the text of a query, but leaves its defaults out. */
const compileValidator: typeof TypeBoxValidatorCompiler = (route) => {
  const validate = TypeBoxValidatorCompiler(route);
  if (route.httpPart !== 'querystring') return validate;
  return (value) => validate(Value.Default(route.schema, { ...(value as object) }));
};

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
  const header = request.headers.authorization ?? '';
  return header.startsWith('Bearer ') ? header.slice('Bearer '.length) : '';
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
    // What a server error says may hold internals: the log has it, the caller gets the code.
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

function statusOf(error: unknown): number {
  return error instanceof MeshError && error.retriable ? 503 : 500;
}

const titles: Record<number, string> = {
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
