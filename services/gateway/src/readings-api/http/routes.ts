import { passedOnRequestId, type HttpApp, type HttpReply, type HttpRequest } from '@thermomesh/runtime';
import { forwardedHeaders, returnHead } from '../../proxy/http/headers.ts';
import { problem } from '../problem.ts';
import type { ReadingsApi } from '../readings-api.ts';
import { readingsOperations } from './operations.ts';

export interface ReadingsRouteDeps {
  /** Undefined if the settings name no way to find an analytics node. */
  readings: ReadingsApi | undefined;
  callerOf: (request: HttpRequest) => string;
}

/** Configuring the nodes takes an operator more than a minute. */
const offRetryAfterSeconds = 60;

/**
 * The public routes of the analytics nodes, any of which answers. The gateway checks the key and
 * its scope; the node checks everything else.
 */
export async function addReadingsRoutes(app: HttpApp, deps: ReadingsRouteDeps): Promise<void> {
  await app.register(async (scope) => {
    // A node parses the body. Here it is bytes, which can be sent again to another node.
    scope.removeAllContentTypeParsers();
    scope.addContentTypeParser('application/json', { parseAs: 'buffer' }, (_request, body, done) =>
      done(null, body),
    );
    for (const { method, path, scope: access } of readingsOperations())
      scope.route({
        method,
        url: path.replaceAll(/\{([^}]+)\}/g, ':$1'),
        config: { access },
        schema: { hide: true },
        handler: async (request, reply) => passOn(deps, access, request, reply),
      });
  });
}

async function passOn(
  { readings, callerOf }: ReadingsRouteDeps,
  scope: string,
  request: HttpRequest,
  reply: HttpReply,
) {
  if (readings === undefined)
    throw problem(503, 'readings.off', 'this gateway knows no analytics node: see its settings', {
      retryAfterSeconds: offRetryAfterSeconds,
    });
  const gone = new AbortController();
  const onClose = () => gone.abort(problem(503, 'readings.cut', 'the caller has gone'));
  reply.raw.once('close', onClose);
  try {
    const body = Buffer.isBuffer(request.body) ? request.body : null;
    const headers = { ...forwardedHeaders(request.headers), ...passedOnRequestId() };
    if (body !== null) headers['content-length'] = body.length;
    const proxied = { method: request.method, path: request.url, headers, body };
    const answer = await readings.forward({ name: callerOf(request), scope }, proxied, gone.signal);
    returnHead(reply, answer);
    if (request.method !== 'HEAD') return await reply.send(answer.body);
    answer.body.resume();
    return await reply.send();
  } finally {
    reply.raw.off('close', onClose);
  }
}
