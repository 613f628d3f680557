/** Proxies requests for image jobs to a node of the equalizer, and answers when no node does. */
import { callerHeader } from '@thermomesh/contracts';
import {
  deriveToken,
  passedOnRequestId,
  subjects,
  type HttpError,
  type Log,
  type Metrics,
} from '@thermomesh/runtime';
import { createNodeProxy } from '../proxy/adapters/node-request.ts';
import { NoAnswerError } from '../proxy/core/errors.ts';
import type { Answer, ProxiedRequest } from '../proxy/core/ports.ts';
import { createUpstreams } from '../proxy/core/upstreams.ts';
import { findEqualizers } from './adapters/zk-equalizers.ts';
import type { EqualizerFinder } from './core/ports.ts';
import { problem } from './problem.ts';
import type { ImageJobsOptions } from './settings.ts';

/** The part of the image jobs that the routes use. */
export interface ImageJobs {
  /**
   * Sends a request to a node on behalf of `caller`.
   * @param signal aborts when the caller closes its connection
   * @throws HttpError 503
   */
  forward(caller: string, request: ProxiedRequest, signal: AbortSignal): Promise<Answer>;
}

/** The image jobs with their lifecycle. */
export interface ImageJobsService extends ImageJobs {
  start(): void;
  /** Idempotent; called after the last request has been answered. */
  stop(): Promise<void>;
}

export interface ImageJobsDeps {
  log: Log;
  metrics: Metrics;
  /** Secret of the mesh, from which the gateway's token at the equalizer is derived. */
  secret: string;
  /** A monotonic clock; tests may replace it. */
  nowMs?: () => number;
}

const retryAfterSeconds = 2;
/** How long a node that gave no answer comes after the others. */
const holdMs = 5_000;

/** Composes the proxy; discovery begins with `start`. */
export function createImageJobs(options: ImageJobsOptions, deps: ImageJobsDeps): ImageJobsService {
  const { log, metrics, secret } = deps;
  const finder = openFinder(options, deps);
  const urls = () => finder?.urls() ?? options.staticUrls;
  const upstreams = createUpstreams({ urls, holdMs, nowMs: deps.nowMs ?? (() => performance.now()) });
  const proxy = createNodeProxy(options.limits);
  const token = deriveToken(secret, subjects.service('gateway'));
  const tries = metrics.counter('gateway_job_tries_total', 'Requests to equalizer nodes, by how they ended', [
    'outcome',
  ]);

  /** Tries one node after the other until one answers, or until one has a part of the upload. */
  async function ask(request: ProxiedRequest, signal: AbortSignal): Promise<Answer> {
    for (const url of upstreams.candidates()) {
      try {
        const answer = await proxy.send(url, request, signal);
        upstreams.answered(url);
        tries.inc({ outcome: 'answered' });
        return answer;
      } catch (error) {
        if (signal.aborted || !(error instanceof NoAnswerError)) throw error;
        upstreams.failed(url);
        tries.inc({ outcome: error.begun ? 'interrupted' : 'unreachable' });
        log.warn({ event: 'jobs.node_unreachable', url, begun: error.begun, err: error });
        if (error.begun) throw interrupted(error);
      }
    }
    throw problem(503, 'jobs.no_equalizer', 'no node of the equalizer answers now', { retryAfterSeconds });
  }

  return {
    async forward(caller, request, signal) {
      const headers = {
        ...request.headers,
        ...passedOnRequestId(),
        authorization: `Bearer ${token}`,
        [callerHeader]: caller,
      };
      const answer = await ask({ ...request, headers }, signal);
      if (answer.status !== 401 && answer.status !== 403) return answer;
      // The gateway has accepted the caller's key, so the node refuses the gateway's own token.
      answer.body.destroy();
      log.error({ event: 'jobs.gateway_refused', status: answer.status });
      throw problem(503, 'jobs.gateway_refused', 'the equalizer does not know this gateway', {
        retryAfterSeconds,
      });
    },
    start: () => finder?.start(),
    async stop() {
      proxy.close();
      await finder?.stop();
    },
  };
}

function interrupted(cause: NoAnswerError): HttpError {
  return problem(
    503,
    'jobs.interrupted',
    'the node that took the upload is gone: send it again, with the same Idempotency-Key to make no second job',
    { retryAfterSeconds, cause },
  );
}

/** Undefined without ZooKeeper: only the static nodes are used. */
function openFinder(
  { discovery, staticUrls }: ImageJobsOptions,
  { log, secret }: ImageJobsDeps,
): EqualizerFinder | undefined {
  if (discovery === undefined) return undefined;
  return findEqualizers({
    ...discovery,
    secret,
    staticUrls,
    onChanged: (urls) => log.info({ event: 'jobs.equalizers_found', urls }),
    onError: (err) => log.warn({ event: 'jobs.discovery_failed', err }),
  });
}
