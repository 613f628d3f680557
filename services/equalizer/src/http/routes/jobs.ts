import { ImageJob, ImageJobs } from '@thermomesh/contracts';
import { codeOf, type HttpApp, type HttpReply, type HttpRequest } from '@thermomesh/runtime';
import Type from 'typebox';
import { isOver, type JobView } from '../../core/jobs.ts';
import type { RouteDeps } from '../deps.ts';
import { answering, httpError } from '../problems.ts';
import { resultResponse } from '../schemas.ts';
import { imageJobOf } from '../view.ts';

type JobRouteDeps = Pick<RouteDeps, 'jobs' | 'blobs' | 'limits' | 'callerOf'>;

export const JobParams = Type.Object({
  id: Type.String({ pattern: '^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$' }),
});
export const config = { access: 'images' } as const;

/** Routes that list, show and cancel jobs, and send results. */
export function jobRoutes(app: HttpApp, deps: JobRouteDeps): void {
  const { jobs, callerOf } = deps;
  const { retryAfterSeconds } = deps.limits;
  app.get('/v1/jobs', { config, schema: { response: { 200: ImageJobs } } }, async (request) =>
    answering(retryAfterSeconds, async () => ({
      jobs: (await jobs.list(callerOf(request))).map(imageJobOf),
    })),
  );
  app.get(
    '/v1/jobs/:id',
    { config, schema: { params: JobParams, response: { 200: ImageJob } } },
    async (request) => imageJobOf(await findJob(deps, request, request.params.id)),
  );
  app.delete(
    '/v1/jobs/:id',
    { config, schema: { params: JobParams, response: { 200: ImageJob, 202: ImageJob } } },
    async (request, reply) => {
      const view = await findJob(deps, request, request.params.id);
      if (isOver(view.phase)) return reply.code(200).send(imageJobOf(view));
      await answering(retryAfterSeconds, async () => jobs.cancel(request.params.id));
      return reply.code(202).send(imageJobOf(view));
    },
  );
  app.get(
    '/v1/jobs/:id/result',
    { config, exposeHeadRoute: false, schema: { params: JobParams, response: { 200: resultResponse } } },
    async (request, reply) => {
      const view = await findJob(deps, request, request.params.id);
      return sendResult(deps, view, reply);
    },
  );
}

/** Finds a job of the caller. @throws HttpError 404, also for the job of another caller; 503 */
export async function findJob(
  { jobs, callerOf, limits }: Pick<JobRouteDeps, 'jobs' | 'callerOf' | 'limits'>,
  request: HttpRequest,
  id: string,
): Promise<JobView> {
  const caller = callerOf(request);
  const view = await answering(limits.retryAfterSeconds, async () => jobs.read(id));
  if (view?.submission.caller !== caller) throw httpError(404, 'jobs.unknown', 'no job with this id');
  return view;
}

async function sendResult({ blobs, limits }: JobRouteDeps, view: JobView, reply: HttpReply) {
  const key = resultOf(view);
  const { id, resultFormat } = view.submission;
  const { bytes, stream } = await answering(limits.retryAfterSeconds, async () =>
    blobs.stream(key).catch((error: unknown) => {
      if (codeOf(error) !== 'blob.not_found') throw error;
      throw httpError(410, 'jobs.result_gone', 'the result was removed', { cause: error });
    }),
  );
  return reply
    .type(resultFormat === undefined ? 'application/octet-stream' : `image/${resultFormat}`)
    .header('content-length', bytes)
    .header(
      'content-disposition',
      `attachment; filename="equalized-${id}${resultFormat === undefined ? '' : `.${resultFormat}`}"`,
    )
    .header('x-content-type-options', 'nosniff')
    .header('cache-control', 'private, no-store')
    .send(stream);
}

/** The key of the result's blob. @throws HttpError 409, 410 */
function resultOf({ phase, result, reason }: JobView): string {
  if (phase === 'finished' && result !== null) return result;
  if (!isOver(phase))
    throw httpError(409, 'jobs.not_finished', `the job is ${phase}: there is no result yet`);
  throw httpError(410, 'jobs.no_result', `the job was ${phase}${reason === null ? '' : `: ${reason}`}`);
}
