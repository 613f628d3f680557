/** Passes requests on to analytics nodes: to the next one when one gives no answer. */
import { callerHeader, readingsCallerOf } from '@thermomesh/contracts';
import {
  createSlots,
  deriveToken,
  subjects,
  type Counter,
  type HttpError,
  type Log,
  type Metrics,
} from '@thermomesh/runtime';
import { createNodeProxy } from '../proxy/adapters/node-request.ts';
import { NoAnswerError } from '../proxy/core/errors.ts';
import type { Answer, ProxiedRequest } from '../proxy/core/ports.ts';
import { createUpstreams } from '../proxy/core/upstreams.ts';
import { findNodes } from './adapters/zk-nodes.ts';
import type { NodeFinder } from './core/ports.ts';
import { isRepeatable, isUnfit, mayAskNext } from './core/repeat.ts';
import { problem } from './problem.ts';
import type { ReadingsOptions } from './settings.ts';

/** Who asks, and the scope that the route needs. The gateway has checked both. */
export interface Caller {
  name: string;
  scope: string;
}

/** The part of the readings API that the routes use. */
export interface ReadingsApi {
  /**
   * Sends a request to a node on behalf of a caller.
   * @param signal aborts when the caller closes its connection
   * @throws HttpError 429, 503
   */
  forward(caller: Caller, request: ProxiedRequest, signal: AbortSignal): Promise<Answer>;
}

/** The readings API with its lifecycle. */
export interface ReadingsApiService extends ReadingsApi {
  start(): void;
  /** Idempotent; called after the last request has been answered. */
  stop(): Promise<void>;
}

export interface ReadingsApiDeps {
  log: Log;
  metrics: Metrics;
  /** Secret of the mesh, from which the gateway's tokens at the nodes are derived. */
  secret: string;
  /** A monotonic clock; tests may replace it. */
  nowMs?: () => number;
}

const retryAfterSeconds = 2;
/** How long a node that gave no answer comes after the others. */
const holdMs = 5_000;
/** How many nodes may let their time limit pass before the gateway gives up. */
const lateTriesMax = 2;

/** Composes the proxy; discovery begins with `start`. */
export function createReadingsApi(options: ReadingsOptions, deps: ReadingsApiDeps): ReadingsApiService {
  const { log, metrics, secret } = deps;
  const finder = openFinder(options, deps);
  const proxy = createNodeProxy(options.limits);
  const slots = createSlots(options.requestsMax, options.requestsPerCallerMax);
  const ask = createAsking(options, deps, () => finder?.urls() ?? options.staticUrls, proxy.send);

  const inFlight = metrics.gauge(
    'gateway_readings_requests',
    'Requests that the gateway passes on to analytics nodes now',
  );

  function take(caller: string): () => void {
    const release = slots.take(caller);
    if (typeof release !== 'function') throw tooMany(release);
    inFlight.set(slots.size);
    return () => {
      release();
      inFlight.set(slots.size);
    };
  }

  return {
    async forward(caller, request, signal) {
      const release = take(caller.name);
      try {
        const token = deriveToken(secret, subjects.service(readingsCallerOf(caller.scope)));
        const headers = { ...request.headers, authorization: `Bearer ${token}`, [callerHeader]: caller.name };
        const answer = await ask({ ...request, headers }, signal);
        if (answer.status === 401 || answer.status === 403) {
          // The gateway has accepted the caller's key, so the node refuses the gateway's own token.
          answer.body.destroy();
          log.error({ event: 'readings.gateway_refused', status: answer.status });
          throw problem(503, 'readings.gateway_refused', 'the node does not know this gateway', {
            retryAfterSeconds,
          });
        }
        answer.body.once('close', release);
        return answer;
      } catch (error) {
        release();
        throw error;
      }
    },
    start: () => finder?.start(),
    async stop() {
      proxy.close();
      await finder?.stop();
    },
  };
}

type Ask = (request: ProxiedRequest, signal: AbortSignal) => Promise<Answer>;

/** Asks one node after the other until one answers that can. */
function createAsking(
  { limits }: ReadingsOptions,
  { log, metrics, nowMs = () => performance.now() }: ReadingsApiDeps,
  urls: () => readonly string[],
  send: ReturnType<typeof createNodeProxy>['send'],
): Ask {
  const upstreams = createUpstreams({ urls, holdMs, nowMs });
  const tries: Counter = metrics.counter(
    'gateway_readings_tries_total',
    'Requests to analytics nodes, by how they ended',
    ['outcome'],
  );

  async function tryOne(url: string, request: ProxiedRequest, signal: AbortSignal, how: Try): Promise<Tried> {
    const { repeatable, patient } = how;
    try {
      const answer = await send(url, request, signal, patient ? limits.answerTimeoutMs : limits.tryTimeoutMs);
      const unfit = isUnfit(answer.status);
      if (unfit) upstreams.failed(url);
      else upstreams.answered(url);
      tries.inc({ outcome: unfit ? 'unfit' : 'answered' });
      return { answer, isFinal: !unfit || !repeatable };
    } catch (error) {
      if (signal.aborted || !(error instanceof NoAnswerError)) throw error;
      upstreams.failed(url);
      tries.inc({ outcome: error.late ? 'late' : 'unreachable' });
      log.warn({ event: 'readings.node_unreachable', url, err: error });
      if (!mayAskNext(repeatable, error.progress)) throw interrupted(error);
      return { late: error.late };
    }
  }

  return async (request, signal) => {
    const repeatable = isRepeatable(request.method, request.headers['idempotency-key']);
    let unfit: Answer | undefined;
    let lateTries = 0;
    const candidates = upstreams.candidates();
    for (const [index, url] of candidates.entries()) {
      // A slow query must not keep every node busy: the second node that is late is the last one.
      if (lateTries === lateTriesMax) break;
      const patient = !repeatable || lateTries > 0 || index === candidates.length - 1;
      const tried = await tryOne(url, request, signal, { repeatable, patient });
      if (!('answer' in tried)) {
        if (tried.late) lateTries += 1;
        continue;
      }
      unfit?.body.destroy();
      if (tried.isFinal) return tried.answer;
      unfit = tried.answer;
    }
    // What a node says of its own state tells the caller more than that no node is fit.
    if (unfit !== undefined) return unfit;
    throw problem(503, 'readings.no_node', 'no analytics node answers now', { retryAfterSeconds });
  };
}

/** How one node is asked. */
interface Try {
  /** Another node may be asked although this one may have worked on the request. */
  repeatable: boolean;
  /** The node has the whole time limit, because no other one will have more. */
  patient: boolean;
}

/** The answer of one node; or none, and another node may be asked. */
type Tried = { answer: Answer; isFinal: boolean } | { late: boolean };

function interrupted(cause: NoAnswerError): HttpError {
  return problem(
    503,
    'readings.interrupted',
    'the node that took the request is gone, and may have carried it out: look before you send it again',
    { retryAfterSeconds, cause },
  );
}

function tooMany(which: 'all' | 'caller'): HttpError {
  const options = { retryAfterSeconds };
  return which === 'all'
    ? problem(503, 'readings.too_many', 'the gateway passes on too many requests now', options)
    : problem(429, 'readings.too_many_of_caller', 'too many requests of this API key are under way', options);
}

/** Undefined without ZooKeeper: only the static nodes are used. */
function openFinder(
  { discovery, staticUrls }: ReadingsOptions,
  { log, secret }: ReadingsApiDeps,
): NodeFinder | undefined {
  if (discovery === undefined) return undefined;
  return findNodes({
    ...discovery,
    secret,
    staticUrls,
    onChanged: (urls) => log.info({ event: 'readings.nodes_found', urls }),
    onError: (err) => log.warn({ event: 'readings.discovery_failed', err }),
  });
}
