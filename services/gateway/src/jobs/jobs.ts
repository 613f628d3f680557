/** The way to the equalizer: which node is asked, and what a caller hears when none answers. */
import { callerHeader } from '@thermomesh/contracts';
import { deriveToken, HttpError, messageOf, subjects, type Log, type Metrics } from '@thermomesh/runtime';
import { createPassages, NoAnswerError, type Answer, type Passage } from './adapters/node-request.ts';
import { findEqualizers, type EqualizerFinder } from './adapters/zk-equalizers.ts';
import { createUpstreams } from './core/upstreams.ts';
import { hasEqualizer, type JobsSettings } from './settings.ts';

/** What the routes use. */
export interface Jobs {
  /**
   * Passes a request on in the name of `caller`.
   * @param signal aborted when the caller has gone
   * @throws HttpError 503
   */
  forward(caller: string, passage: Passage, signal: AbortSignal): Promise<Answer>;
}

export interface JobsService extends Jobs {
  start(): void;
  /** After the last request has been answered. Idempotent. */
  stop(): Promise<void>;
}

export interface JobsDeps {
  log: Log;
  metrics: Metrics;
  /** The mesh's: the gateway's token at the equalizer is derived from it. */
  secret: string;
  nowMs?: () => number;
}

const retryAfterSeconds = 2;
/** A node without an answer is asked last for so long. */
const holdMs = 5_000;

/** Undefined if no equalizer can be known. */
export function createJobs(config: JobsSettings, deps: JobsDeps): JobsService | undefined {
  if (!hasEqualizer(config)) return undefined;
  const { log, metrics, secret } = deps;
  const staticUrls = config.EQUALIZER_URLS?.split(',') ?? [];
  const finder = openFinder(config, deps, staticUrls);
  const urls = () => finder?.urls() ?? staticUrls;
  const upstreams = createUpstreams({ urls, holdMs, nowMs: deps.nowMs ?? (() => performance.now()) });
  const passages = createPassages({
    tryTimeoutMs: config.EQUALIZER_TRY_TIMEOUT_MS,
    answerTimeoutMs: config.EQUALIZER_ANSWER_TIMEOUT_MS,
    silenceTimeoutMs: config.EQUALIZER_SILENCE_TIMEOUT_MS,
  });
  const token = deriveToken(secret, subjects.service('gateway'));
  const tries = metrics.counter('gateway_job_tries_total', 'Requests to equalizer nodes, by how they ended', [
    'outcome',
  ]);

  /** One node after the other, as long as nothing of the upload is gone. */
  async function ask(passage: Passage, signal: AbortSignal): Promise<Answer> {
    for (const url of upstreams.candidates()) {
      try {
        const answer = await passages.pass(url, passage, signal);
        upstreams.answered(url);
        tries.inc({ outcome: 'answered' });
        return answer;
      } catch (error) {
        if (signal.aborted || !(error instanceof NoAnswerError)) throw error;
        upstreams.failed(url);
        tries.inc({ outcome: error.begun ? 'interrupted' : 'unreachable' });
        log.warn({ event: 'jobs.node_unreachable', url, begun: error.begun, reason: messageOf(error) });
        if (error.begun) throw interrupted(error);
      }
    }
    throw new HttpError(503, 'jobs.no_equalizer', 'no node of the equalizer answers now', {
      retryAfterSeconds,
    });
  }

  return {
    async forward(caller, passage, signal) {
      const headers = { ...passage.headers, authorization: `Bearer ${token}`, [callerHeader]: caller };
      const answer = await ask({ ...passage, headers }, signal);
      if (answer.status !== 401 && answer.status !== 403) return answer;
      // It says nothing about the caller, whose key was good: the nodes do not know this gateway.
      answer.body.destroy();
      log.error({ event: 'jobs.gateway_refused', status: answer.status });
      throw new HttpError(503, 'jobs.gateway_refused', 'the equalizer does not know this gateway', {
        retryAfterSeconds,
      });
    },
    start: () => finder?.start(),
    async stop() {
      passages.close();
      await finder?.stop();
    },
  };
}

function interrupted(cause: NoAnswerError): HttpError {
  return new HttpError(
    503,
    'jobs.interrupted',
    'the node that took the upload is gone: send it again, with the same Idempotency-Key to make no second job',
    { retryAfterSeconds, cause },
  );
}

/** Undefined without ZooKeeper: the static nodes are all there are. */
function openFinder(
  config: JobsSettings,
  { log, secret }: JobsDeps,
  staticUrls: readonly string[],
): EqualizerFinder | undefined {
  const { ZOOKEEPER_HOSTS: hosts, SERVICES_PATH: path } = config;
  if (hosts === undefined) return undefined;
  return findEqualizers({
    ...{ hosts, path, secret, staticUrls },
    sessionTimeoutMs: config.ZOOKEEPER_SESSION_TIMEOUT_MS,
    onChanged: (urls) => log.info({ event: 'jobs.equalizers_found', urls }),
    onFault: (err) => log.warn({ event: 'jobs.discovery_failed', err }),
  });
}
