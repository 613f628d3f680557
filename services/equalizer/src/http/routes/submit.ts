import { ImageJob, imageJobRoutes } from '@thermomesh/contracts';
import { HttpError, type HttpApp, type HttpReply, type HttpRequest } from '@thermomesh/runtime';
import type { RouteDeps } from '../deps.ts';
import { answerFor, httpError } from '../problems.ts';
import { jobBody, SubmitHeaders } from '../schemas.ts';
import { submit, type SubmissionDeps, type Submitted } from '../submissions.ts';
import { config } from './jobs.ts';

type SubmitRouteDeps = SubmissionDeps & Pick<RouteDeps, 'callerOf' | 'metrics'>;

/** Answers 201 when the job is durable: from then on it ends, whichever process dies (I5). */
export function submitRoute(app: HttpApp, deps: SubmitRouteDeps): void {
  app.post(
    '/v1/jobs',
    {
      config,
      schema: {
        consumes: ['multipart/form-data'],
        headers: SubmitHeaders,
        body: jobBody,
        response: { 201: ImageJob },
      },
      validatorCompiler: () => () => true,
    },
    async (request, reply) => {
      const { job, replayed } = await counted(deps, request, reply);
      if (replayed) void reply.header('idempotency-replayed', 'true');
      return reply.code(201).header('location', imageJobRoutes.job(job.id)).send(job);
    },
  );
}

async function counted(deps: SubmitRouteDeps, request: HttpRequest, reply: HttpReply): Promise<Submitted> {
  const { metrics, limits } = deps;
  const gone = new AbortController();
  const cut = httpError(400, 'upload.cut', 'the caller has disconnected');
  const onClose = () => gone.abort(cut);
  reply.raw.once('close', onClose);
  try {
    const submitted = await submit(deps, request, deps.callerOf(request), gone.signal);
    metrics.submissions.inc({ outcome: submitted.replayed ? 'replayed' : 'accepted' });
    return submitted;
  } catch (error) {
    const answer = gone.signal.aborted ? cut : answerFor(error, limits.retryAfterSeconds);
    metrics.submissions.inc({ outcome: answer instanceof HttpError ? answer.code : 'failed' });
    throw answer;
  } finally {
    reply.raw.off('close', onClose);
  }
}
