import { HttpError, type HttpApp, type HttpRequest } from '@thermomesh/runtime';
import { isVersion } from '../../core/job-view.ts';
import { isOver } from '../../core/jobs.ts';
import type { EventStreams } from '../event-streams.ts';
import type { Full } from '../slots.ts';
import { config, findJob, JobParams, type JobRouteDeps } from './jobs.ts';

export interface EventRouteDeps extends Pick<JobRouteDeps, 'jobs' | 'callerOf' | 'limits'> {
  streams: EventStreams;
}

/** Server-sent events; a client that comes back says in `Last-Event-ID` what it has seen. */
export function eventRoute(app: HttpApp, deps: EventRouteDeps): void {
  app.get(
    '/v1/jobs/:id/events',
    // Without HEAD: nobody would read its stream, and nothing would close it.
    { config, exposeHeadRoute: false, schema: { params: JobParams, produces: ['text/event-stream'] } },
    async (request, reply) => {
      const { id } = request.params;
      const view = await findJob(deps, request, id);
      const seen = lastSeenBy(request);
      // A client that has seen the end is told not to come back (HTML, "server-sent events": 204 ends reconnection).
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

/** An id that is none of ours says nothing. */
function lastSeenBy(request: HttpRequest): string {
  const header = request.headers['last-event-id'];
  return typeof header === 'string' && isVersion(header) ? header : '';
}

function tooMany(which: Full, retryAfterSeconds: number): HttpError {
  const options = { retryAfterSeconds };
  return which === 'all'
    ? new HttpError(503, 'events.too_many', 'too many event streams are open at this node', options)
    : new HttpError(
        429,
        'events.too_many_of_caller',
        'too many event streams of this API key are open',
        options,
      );
}
