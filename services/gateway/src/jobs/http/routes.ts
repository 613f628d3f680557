import type { OutgoingHttpHeaders } from 'node:http';
import { imageJobRoutes } from '@thermomesh/contracts';
import { HttpError, type HttpApp, type HttpReply, type HttpRequest } from '@thermomesh/runtime';
import Type from 'typebox';
import type { Jobs } from '../jobs.ts';

export interface JobRouteDeps {
  /** Undefined if no equalizer can be known. */
  jobs: Jobs | undefined;
  callerOf: (request: HttpRequest) => string;
}

/** Nobody switches it on within a minute. */
const offRetryAfterSeconds = 60;

const Params = Type.Object({
  id: Type.String({ pattern: '^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$' }),
});

/** RFC 9110 §7.6.1: of one connection only; and what the gateway says itself, or nobody has to know behind it. */
const notForwarded = new Set([
  ...['connection', 'keep-alive', 'proxy-authenticate', 'proxy-authorization', 'proxy-connection', 'te'],
  ...['trailer', 'transfer-encoding', 'upgrade', 'host', 'expect', 'authorization', 'cookie'],
  ...['thermomesh-caller', 'content-length'],
]);
const notReturned = new Set(['connection', 'keep-alive', 'proxy-connection', 'transfer-encoding', 'trailer']);

/** `/v1/jobs` and what is below it, at any node of the equalizer. The key is checked here; who asks is said there. */
export async function jobRoutes(app: HttpApp, deps: JobRouteDeps): Promise<void> {
  await app.register(async (scope) => {
    // Uploads are passed on as they come: nobody here looks into them.
    scope.removeAllContentTypeParsers();
    scope.addContentTypeParser('*', (_request, _payload, done) => done(null));
    const config = { access: 'images' } as const;
    // Without HEAD: nobody would read a stream of events, and nothing would close it.
    const common = { config, exposeHeadRoute: false };
    const one = { ...common, schema: { params: Params } };
    const pass = (path: (request: HttpRequest) => string) => async (request: HttpRequest, reply: HttpReply) =>
      passOn(deps, request, reply, path(request));
    const idOf = (request: HttpRequest) => (request.params as { id: string }).id;
    const list = pass(() => imageJobRoutes.jobs);
    const job = pass((request) => imageJobRoutes.job(idOf(request)));
    scope.get(imageJobRoutes.jobs, common, list);
    scope.post(imageJobRoutes.jobs, common, list);
    scope.get('/v1/jobs/:id', one, job);
    scope.delete('/v1/jobs/:id', one, job);
    scope.get(
      '/v1/jobs/:id/events',
      one,
      pass((request) => imageJobRoutes.events(idOf(request))),
    );
    scope.get(
      '/v1/jobs/:id/result',
      one,
      pass((request) => imageJobRoutes.result(idOf(request))),
    );
  });
}

async function passOn(
  { jobs, callerOf }: JobRouteDeps,
  request: HttpRequest,
  reply: HttpReply,
  path: string,
) {
  if (jobs === undefined)
    throw new HttpError(503, 'jobs.off', 'this gateway knows no equalizer: see its settings', {
      retryAfterSeconds: offRetryAfterSeconds,
    });
  const { method, raw } = request;
  const body = method === 'POST' ? raw : null;
  const gone = new AbortController();
  const onClose = () => gone.abort(new HttpError(503, 'jobs.cut', 'the caller has gone'));
  reply.raw.once('close', onClose);
  try {
    const headers = forwarded(request, body !== null);
    const answer = await jobs.forward(callerOf(request), { method, path, headers, body }, gone.signal);
    void reply.code(answer.status);
    for (const [name, value] of Object.entries(answer.headers))
      if (value !== undefined && !notReturned.has(name)) void reply.header(name, value);
    return await reply.send(answer.body);
  } finally {
    reply.raw.off('close', onClose);
  }
}

function forwarded(request: HttpRequest, hasBody: boolean): OutgoingHttpHeaders {
  const headers: OutgoingHttpHeaders = {};
  const named = new Set(
    String(request.headers.connection ?? '')
      .toLowerCase()
      .split(/\s*,\s*/),
  );
  for (const [name, value] of Object.entries(request.headers))
    if (value !== undefined && !notForwarded.has(name) && !named.has(name)) headers[name] = value;
  const length = request.headers['content-length'];
  if (hasBody && length !== undefined) headers['content-length'] = length;
  return headers;
}
