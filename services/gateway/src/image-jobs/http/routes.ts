import { imageJobRoutes } from '@thermomesh/contracts';
import {
  HttpError,
  passedOnRequestId,
  type HttpApp,
  type HttpReply,
  type HttpRequest,
} from '@thermomesh/runtime';
import Type from 'typebox';
import { forwardedHeaders, returnHead } from '../../proxy/http/headers.ts';
import type { ImageJobs } from '../image-jobs.ts';
import { problem } from '../problem.ts';

export interface ImageJobRouteDeps {
  /** Undefined if the settings name no way to find an equalizer. */
  jobs: ImageJobs | undefined;
  callerOf: (request: HttpRequest) => string;
}

/** Configuring an equalizer takes an operator more than a minute. */
const offRetryAfterSeconds = 60;

const Params = Type.Object({
  id: Type.String({ pattern: '^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$' }),
});

/**
 * `/v1/jobs` and the routes below it, which any node of the equalizer serves. The gateway checks
 * the key; the node gets the name of the caller.
 */
export async function addImageJobRoutes(app: HttpApp, deps: ImageJobRouteDeps): Promise<void> {
  await app.register(async (scope) => {
    // Uploads are streamed to the node, so no body is parsed here.
    scope.removeAllContentTypeParsers();
    scope.addContentTypeParser('*', (_request, _payload, done) => done(null));
    // The node judges the query.
    const config = { access: 'images', anyQuery: true } as const;
    // Without HEAD: no client would read a stream of events, and nothing would close it.
    // The document has them from the equalizer's own.
    const common = { config, exposeHeadRoute: false, schema: { hide: true } };
    const one = { ...common, schema: { hide: true, params: Params } };
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

/** @throws HttpError 415; the node would read the whole upload first */
function requireForm({ headers }: HttpRequest): void {
  if (/^multipart\/form-data\b/i.test(headers['content-type'] ?? '')) return;
  throw new HttpError(415, 'http.unsupported_media_type', 'send the image as multipart/form-data', {
    param: 'content-type',
    in: 'header',
    allowed: ['multipart/form-data'],
  });
}

async function passOn(
  { jobs, callerOf }: ImageJobRouteDeps,
  request: HttpRequest,
  reply: HttpReply,
  path: string,
) {
  if (jobs === undefined)
    throw problem(503, 'jobs.off', 'this gateway knows no equalizer: see its settings', {
      retryAfterSeconds: offRetryAfterSeconds,
    });
  const { method, raw } = request;
  const body = method === 'POST' ? raw : null;
  if (body !== null) requireForm(request);
  const gone = new AbortController();
  const onClose = () => gone.abort(problem(503, 'jobs.cut', 'the caller has gone'));
  reply.raw.once('close', onClose);
  try {
    const headers = { ...forwardedHeaders(request.headers), ...passedOnRequestId() };
    const length = request.headers['content-length'];
    if (body !== null && length !== undefined) headers['content-length'] = length;
    const answer = await jobs.forward(callerOf(request), { method, path, headers, body }, gone.signal);
    returnHead(reply, answer);
    return await reply.send(answer.body);
  } finally {
    reply.raw.off('close', onClose);
  }
}
