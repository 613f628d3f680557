import type { HttpApp, HttpError, HttpRequest, SlotLimit } from '@thermomesh/runtime';
import { isVersion } from '../../core/job-view.ts';
import { isOver } from '../../core/jobs.ts';
import type { RouteDeps } from '../deps.ts';
import { httpError } from '../problems.ts';
import { EventHeaders, eventResponse, noMoreEvents } from '../schemas.ts';
import { config, findJob, JobParams } from './jobs.ts';

type EventRouteDeps = Pick<RouteDeps, 'jobs' | 'callerOf' | 'limits' | 'streams'>;

/**
 * Server-sent events of a job. A client that reconnects sends the id of the last event that it has
 * seen in `Last-Event-ID`.
 */
export function eventRoute(app: HttpApp, deps: EventRouteDeps): void {
  app.get(
    '/v1/jobs/:id/events',
    // No HEAD: no client would read its stream, so nothing would close it.
    {
      config,
      exposeHeadRoute: false,
      schema: {
        params: JobParams,
        headers: EventHeaders,
        response: { 200: eventResponse, 204: noMoreEvents },
      },
    },
    async (request, reply) => {
      const { id } = request.params;
      const view = await findJob(deps, request, id);
      const seen = lastSeenBy(request);
      // 204 tells a client that has seen the end not to reconnect (HTML Living Standard,
      // "Server-sent events").
      if (isOver(view.phase) && view.version <= seen) return reply.code(204).send();
      const stream = deps.streams.open(deps.callerOf(request), id, seen);
      if (typeof stream === 'string') throw tooMany(stream, deps.limits.retryAfterSeconds);
      return reply
        .header('cache-control', 'no-store')
        .header('x-accel-buffering', 'no')
        .type('text/event-stream')
        .send(stream);
    },
  );
}

/** The version that the client has seen last; an id of any other form counts as none. */
function lastSeenBy(request: HttpRequest): string {
  const header = request.headers['last-event-id'];
  return typeof header === 'string' && isVersion(header) ? header : '';
}

function tooMany(which: SlotLimit, retryAfterSeconds: number): HttpError {
  const options = { retryAfterSeconds };
  return which === 'all'
    ? httpError(503, 'events.too_many', 'too many event streams are open at this node', options)
    : httpError(429, 'events.too_many_of_caller', 'too many event streams of this API key are open', options);
}
